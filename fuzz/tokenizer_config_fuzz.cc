// Any bytes as tokenizer_config.json, beside no tokenizer.model.
#include <cstddef>
#include <cstdint>

#include "agora/model/tokenizer_files.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = agora::model::parse_tokenizer_config(text, "/nonexistent");
  if (tokenizer.ok()) (void)(*tokenizer)->encode("some text \xff");
  return 0;
}
