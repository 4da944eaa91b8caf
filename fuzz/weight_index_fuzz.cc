// Any bytes as model.safetensors.index.json; what is accepted may not lead out of the folder.
#include <cstddef>
#include <cstdint>

#include "agora/base/check.h"
#include "agora/weights/weight_folder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto shards = agora::weights::parse_weight_index(text, "input");
  if (!shards.ok()) return 0;
  for (const auto& [shard, tensors] : *shards) AGORA_CHECK(shard.find('/') == shard.npos && shard != "..");
  return 0;
}
