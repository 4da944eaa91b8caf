// Text to token ids and back, exactly: decode(encode(s)) == s for any bytes.
//
//   AGORA_ASSIGN_OR_RETURN(auto tokenizer, Tokenizer::train(sample, {.vocabulary = 4096}));
//   AGORA_ASSIGN_OR_RETURN(std::vector<int32_t> ids, tokenizer->encode(text));
//   std::string same = tokenizer->decode(ids);
//   AGORA_RETURN_IF_ERROR(tokenizer->save(dir));      auto again = Tokenizer::load(dir);
//
// Kinds: unigram and bpe are SentencePiece models with byte fallback (tokenizer.model, which other tools
// open); characters has one id per distinct character of the text, sorted, as nanoGPT does; bytes has the 256
// bytes. tokenizer_config.json names the kind. Bytes that are not UTF-8, NUL and U+2581 (SentencePiece's own
// mark for a space) go through byte pieces. Any thread may encode and decode.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agora/base/result.h"

namespace agora::model {

enum class TokenizerKind : uint8_t { unigram, bpe, characters, bytes };

struct TokenizerOptions {
  TokenizerKind kind = TokenizerKind::unigram;
  int32_t vocabulary = 4096;  // of unigram and bpe: at most, a small text gives fewer pieces; at least 320
};

struct EncodedTexts {
  std::vector<int32_t> ids;  // of all texts, one after the other
  std::vector<size_t> ends;  // by text: where its ids end
};

class Tokenizer {
 public:
  static StatusOr<std::unique_ptr<Tokenizer>> train(std::string_view sample, const TokenizerOptions& options);
  static StatusOr<std::unique_ptr<Tokenizer>> load(const std::string& dir);
  // From the contents of a folder's files by name; others among them are not looked at.
  static StatusOr<std::unique_ptr<Tokenizer>> from_files(const std::map<std::string, std::string>& files,
                                                         const std::string& where);
  virtual ~Tokenizer() = default;

  virtual TokenizerKind kind() const = 0;
  virtual int32_t vocab_size() const = 0;
  // Fails only for `characters`, on a character that the training text did not have.
  virtual StatusOr<std::vector<int32_t>> encode(std::string_view text) const = 0;
  // Each text by itself; cheaper than one call for each, because words come again. Errors as encode().
  virtual StatusOr<EncodedTexts> encode_all(std::span<const std::string_view> texts) const;
  // What a model reads of a text to go on with: its ids, behind bos_id() where bos_in_front(); of no text the
  // one id that begins a text. Errors as encode().
  StatusOr<std::vector<int32_t>> encode_prompt(std::string_view text) const;
  // The bytes of one token; empty for control tokens and for ids out of range (a model may have padded its
  // vocabulary).
  virtual std::string_view token_bytes(int32_t id) const = 0;
  // Writes tokenizer_config.json and, for SentencePiece, tokenizer.model into an existing folder, atomically.
  virtual Status save(const std::string& dir) const = 0;

  virtual int32_t bos_id() const { return -1; }  // -1: there is none
  virtual int32_t eos_id() const { return -1; }  // also put between documents
  // Whether the model learnt from texts that each began with bos_id(): add_bos_token of Llama and Mixtral.
  virtual bool bos_in_front() const { return false; }

  // Whether encode(a + b) is encode(a), encode(b) wherever b begins with the line end after a line.
  virtual bool lines_are_apart() const { return true; }

  virtual std::string decode(std::span<const int32_t> ids) const;
  // For people: space as itself, newline as \n, bytes that are not text as <0xE2>, control tokens as <s>,
  // </s>, <unk>.
  std::string display(int32_t id) const;

 protected:
  virtual std::string control_name(int32_t id) const;  // of an id without bytes
};

// Turns ids into text as they come: bytes of an unfinished character are held back until it is whole.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  std::string push(int32_t id);  // what can be shown now
  std::string finish();          // what was held back

 private:
  const Tokenizer& tokenizer_;
  std::string held_;
};

}  // namespace agora::model
