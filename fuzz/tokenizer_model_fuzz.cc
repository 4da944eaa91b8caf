// Any bytes as a SentencePiece model; what is accepted gives texts back byte for byte.
#include <cstddef>
#include <cstdint>

#include "agora/base/check.h"
#include "agora/model/sentencepiece_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string model(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = agora::model::open_sentencepiece(model, "input");
  if (!tokenizer.ok()) return 0;
  constexpr std::string_view kText = "int main() {\n\treturn  0;\n}\n\xe2\x96\x81 \xff \xc3\xa9";
  const auto ids = (*tokenizer)->encode(kText);
  AGORA_CHECK(ids.ok() && (*tokenizer)->decode(*ids) == kText);
  for (int32_t id = -1; id <= (*tokenizer)->vocab_size(); ++id) (void)(*tokenizer)->display(id);
  return 0;
}
