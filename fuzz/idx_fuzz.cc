// Any bytes as an unpacked IDX file; what is accepted has as many values as its shape says.
#include <cstddef>
#include <cstdint>

#include "agora/base/check.h"
#include "agora/train/idx.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto array = agora::train::parse_idx(std::as_bytes(std::span(data, size)), "input");
  if (!array.ok()) return 0;
  int64_t values = 1;
  for (const int64_t dimension : array->shape) values *= dimension;
  AGORA_CHECK_EQ(static_cast<int64_t>(array->values.size()), values);
  return 0;
}
