// Any bytes as a swarm's specification: what is read must be canonical.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "agora/swarm/spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const agora::base::Bytes bytes = std::as_bytes(std::span(data, size));
  const auto spec = agora::swarm::read_spec(bytes);
  if (spec.ok() && spec->bytes() != agora::base::as_text(bytes)) std::abort();
  return 0;
}
