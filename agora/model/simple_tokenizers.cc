#include "agora/model/simple_tokenizers.h"

#include <algorithm>
#include <array>
#include <set>
#include <unordered_map>
#include <utility>

#include "agora/base/text.h"
#include "agora/base/utf8.h"
#include "agora/model/tokenizer_files.h"

namespace agora::model {

using base::concat;
using base::in_quotes;

namespace {

// The character at `at`, or the one byte there if it starts none.
std::string_view character_at(std::string_view text, size_t at) {
  return text.substr(at, static_cast<size_t>(std::max(base::utf8_at(text, at).bytes, 1)));
}

class CharacterTokenizer final : public Tokenizer {
 public:
  explicit CharacterTokenizer(std::vector<std::string> characters) : characters_(std::move(characters)) {
    for (size_t id = 0; id < characters_.size(); ++id)
      ids_.emplace(characters_[id], static_cast<int32_t>(id));
  }

  TokenizerKind kind() const override { return TokenizerKind::characters; }
  int32_t vocab_size() const override { return static_cast<int32_t>(characters_.size()); }
  std::string_view token_bytes(int32_t id) const override {
    return id >= 0 && id < vocab_size() ? characters_[static_cast<size_t>(id)] : std::string_view();
  }

  StatusOr<std::vector<int32_t>> encode(std::string_view text) const override {
    std::vector<int32_t> ids;
    for (size_t i = 0; i < text.size(); i += character_at(text, i).size()) {
      const auto found = ids_.find(character_at(text, i));
      if (found == ids_.end()) {
        return absl::InvalidArgumentError(concat("the character ", in_quotes(character_at(text, i)),
                                                 " at byte ", i, " is not among the ", characters_.size(),
                                                 " that this model was trained on; leave it out"));
      }
      ids.push_back(found->second);
    }
    return ids;
  }

  Status save(const std::string& dir) const override {
    nlohmann::ordered_json config;
    config["agora"]["kind"] = name_of(kind());
    nlohmann::ordered_json& list = config["agora"]["characters"];
    list = nlohmann::ordered_json::array();
    for (const std::string& character : characters_) {
      const bool is_text = base::utf8_at(character, 0).bytes > 0;
      is_text ? list.push_back(character) : list.push_back(static_cast<uint8_t>(character[0]));
    }
    return write_tokenizer(dir, config, {});
  }

 private:
  std::vector<std::string> characters_;                // by id
  std::unordered_map<std::string_view, int32_t> ids_;  // keys borrow from characters_
};

class ByteTokenizer final : public Tokenizer {
 public:
  TokenizerKind kind() const override { return TokenizerKind::bytes; }
  int32_t vocab_size() const override { return 256; }
  std::string_view token_bytes(int32_t id) const override {
    static constexpr auto kBytes = [] {
      std::array<char, 256> bytes{};
      for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i);
      return bytes;
    }();
    return id >= 0 && id < 256 ? std::string_view(&kBytes[static_cast<size_t>(id)], 1) : std::string_view();
  }
  StatusOr<std::vector<int32_t>> encode(std::string_view text) const override {
    std::vector<int32_t> ids(text.size());
    std::transform(text.begin(), text.end(), ids.begin(), [](char c) { return static_cast<uint8_t>(c); });
    return ids;
  }
  Status save(const std::string& dir) const override {
    nlohmann::ordered_json config;
    config["agora"]["kind"] = name_of(kind());
    return write_tokenizer(dir, config, {});
  }
};

}  // namespace

std::vector<std::string> characters_of(std::string_view text) {
  std::set<std::pair<uint32_t, std::string_view>> found;
  constexpr uint32_t kAfterAllCodes = 0x110000;
  for (size_t i = 0; i < text.size(); i += character_at(text, i).size()) {
    const base::Utf8Char c = base::utf8_at(text, i);
    found.emplace(c.bytes > 0 ? c.code : kAfterAllCodes, character_at(text, i));
  }
  std::vector<std::string> characters;
  for (const auto& [code, character] : found) characters.emplace_back(character);
  return characters;
}

std::unique_ptr<Tokenizer> make_character_tokenizer(std::vector<std::string> characters) {
  return std::make_unique<CharacterTokenizer>(std::move(characters));
}

std::unique_ptr<Tokenizer> make_byte_tokenizer() { return std::make_unique<ByteTokenizer>(); }

}  // namespace agora::model
