// Any bytes as what a peer says of itself: read, and what was read written and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "apps/dashboard/peer_status.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto status = agora::dashboard::read_status({reinterpret_cast<const char*>(data), size});
  if (!status.ok()) return 0;
  if (!agora::dashboard::read_status(agora::dashboard::status_text(*status)).ok()) std::abort();
  return 0;
}
