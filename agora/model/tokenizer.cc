#include "agora/model/tokenizer.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "agora/base/text.h"
#include "agora/base/utf8.h"
#include "agora/model/sentencepiece_proto.h"
#include "agora/model/sentencepiece_tokenizer.h"
#include "agora/model/simple_tokenizers.h"

namespace agora::model {

using base::concat;

namespace {

constexpr int32_t kVocabularyMin = 320;  // 3 control pieces, 256 bytes, and some to learn

// Text as it is, line ends and tabs as \n and \t, everything else that has no shape as its bytes.
std::string shown(std::string_view bytes) {
  std::string text;
  for (size_t i = 0; i < bytes.size();) {
    const base::Utf8Char c = base::utf8_at(bytes, i);
    const bool control = c.code < 0x20 || (c.code >= 0x7f && c.code < 0xa0);
    if (bytes[i] == '\n' || bytes[i] == '\t' || bytes[i] == '\r') {
      text += bytes[i] == '\n' ? "\\n" : bytes[i] == '\t' ? "\\t" : "\\r";
      ++i;
    } else if (c.bytes > 0 && !control) {
      text += bytes.substr(i, static_cast<size_t>(c.bytes));
      i += static_cast<size_t>(c.bytes);
    } else {
      char hex[8];
      std::snprintf(hex, sizeof hex, "<0x%02X>", static_cast<uint8_t>(bytes[i++]));
      text += hex;
    }
  }
  return text;
}

}  // namespace

StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::train(std::string_view sample,
                                                      const TokenizerOptions& options) {
  switch (options.kind) {
    case TokenizerKind::bytes:
      return make_byte_tokenizer();
    case TokenizerKind::characters: {
      std::vector<std::string> characters = characters_of(sample);
      if (characters.empty()) return absl::InvalidArgumentError("there is no text to take characters from");
      return make_character_tokenizer(std::move(characters));
    }
    case TokenizerKind::unigram:
    case TokenizerKind::bpe:
      break;
  }
  if (options.vocabulary < kVocabularyMin || options.vocabulary > kVocabularyMax) {
    return absl::InvalidArgumentError(concat("expected a vocabulary of ", kVocabularyMin, " to ",
                                             kVocabularyMax, " pieces, got ", options.vocabulary));
  }
  AGORA_ASSIGN_OR_RETURN(std::string model, train_sentencepiece(sample, options.kind, options.vocabulary));
  return open_sentencepiece(std::move(model), "the trained tokenizer");
}

StatusOr<EncodedTexts> Tokenizer::encode_all(std::span<const std::string_view> texts) const {
  EncodedTexts encoded;
  for (const std::string_view text : texts) {
    AGORA_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, encode(text));
    encoded.ids.insert(encoded.ids.end(), ids.begin(), ids.end());
    encoded.ends.push_back(encoded.ids.size());
  }
  return encoded;
}

StatusOr<std::vector<int32_t>> Tokenizer::encode_prompt(std::string_view text) const {
  AGORA_ASSIGN_OR_RETURN(std::vector<int32_t> ids, encode(text));
  if (bos_in_front()) ids.insert(ids.begin(), bos_id());
  if (ids.empty()) ids.push_back(std::max(eos_id(), 0));  // where one text ends, the next begins
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (const int32_t id : ids) text += token_bytes(id);
  return text;
}

std::string Tokenizer::display(int32_t id) const {
  const std::string_view bytes = token_bytes(id);
  return bytes.empty() ? control_name(id) : shown(bytes);
}

std::string Tokenizer::control_name(int32_t id) const { return concat("<", id, ">"); }

std::string StreamDecoder::push(int32_t id) {
  held_ += tokenizer_.token_bytes(id);
  // Only the last three bytes can belong to a character that is still to be finished.
  size_t whole = held_.size();
  for (size_t i = held_.size() > 3 ? held_.size() - 3 : 0; i < held_.size(); ++i) {
    if (!base::utf8_at(held_, i).incomplete) continue;
    whole = i;
    break;
  }
  std::string ready = held_.substr(0, whole);
  held_.erase(0, whole);
  return ready;
}

std::string StreamDecoder::finish() { return std::exchange(held_, {}); }

}  // namespace agora::model
