#include <bit>
#include <cstring>

#include "agora/base/check.h"
#include "agora/base/text.h"
#include "agora/weights/safetensors.h"
#include "agora/weights/safetensors_header.h"

namespace agora::weights {

static_assert(std::endian::native == std::endian::little, "values are written as they lie");

StatusOr<std::vector<std::byte>> safetensors_bytes(std::span<const TensorSpec> specs,
                                                   std::span<const std::span<const float>> values,
                                                   Metadata metadata) {
  AGORA_CHECK_EQ(specs.size(), values.size());
  size_t size = 0;
  for (size_t i = 0; i < specs.size(); ++i) {
    AGORA_CHECK(specs[i].dtype == DType::f32);
    AGORA_CHECK_EQ(static_cast<int64_t>(values[i].size_bytes()), bytes_of(specs[i]));
    metadata[base::concat(kTensorHashPrefix, specs[i].name)] = sha256_hex(std::as_bytes(values[i]));
    size += values[i].size_bytes();
  }
  metadata[std::string(kFileHashKey)] = sha256_hex(base::as_bytes(hashed_text(specs, metadata)));
  AGORA_ASSIGN_OR_RETURN(const std::string header, format_header(specs, metadata, "tensors in memory"));
  std::vector<std::byte> bytes;
  bytes.reserve(header.size() + size);
  const auto append = [&bytes](Bytes part) { bytes.insert(bytes.end(), part.begin(), part.end()); };
  append(base::as_bytes(header));
  for (const std::span<const float> tensor : values) append(std::as_bytes(tensor));
  return bytes;
}

}  // namespace agora::weights
