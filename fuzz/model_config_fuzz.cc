// Any bytes as a model's config.json.
#include <cstddef>
#include <cstdint>

#include "agora/model/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)agora::model::parse_config({reinterpret_cast<const char*>(data), size}, "input");
  return 0;
}
