// Any bytes as a safetensors file: opened, verified, every tensor of moderate size read.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "agora/weights/safetensors.h"

namespace {

constexpr int64_t kReadMax = 1 << 20;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using agora::weights::SafetensorsFile;
  const auto file = SafetensorsFile::parse(std::as_bytes(std::span(data, size)), "input");
  if (!file.ok()) return 0;
  (void)(*file)->verify();
  for (const agora::weights::TensorRef& tensor : (*file)->tensors()) {
    if (tensor.count() > kReadMax) continue;
    std::vector<float> values(static_cast<size_t>(tensor.count()));
    (void)agora::weights::read_f32(tensor, {values.data(), 1, tensor.count()});
  }
  return 0;
}
