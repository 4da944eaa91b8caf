// Any bytes as tokenizer_config.json, beside no tokenizer.model.
#include <cstddef>
#include <cstdint>

#include "agora/model/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = agora::model::Tokenizer::from_files({{"tokenizer_config.json", text}}, "here");
  if (tokenizer.ok()) (void)(*tokenizer)->encode("some text \xff");
  return 0;
}
