// A look into a serialized SentencePiece model before SentencePiece itself gets it.
//
//   AGORA_ASSIGN_OR_RETURN(ModelOutline outline, read_outline(bytes, "tokenizer.model"));
//
// The library trusts parts of a model (a normaliser's prebuilt index is followed without bounds checks), so
// models from elsewhere are read here first: protocol buffer wire format, every length checked. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agora/base/result.h"
#include "agora/model/tokenizer.h"

namespace agora::model {

constexpr int64_t kTokenizerBytesMax = 64'000'000;
constexpr int32_t kVocabularyMax = 1'000'000;

struct ModelOutline {
  struct Piece {
    std::string text;
    int32_t type = 1;  // SentencePiece's numbers, below
  };
  static constexpr int32_t kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6;

  TokenizerKind kind = TokenizerKind::unigram;
  bool space_in_front = true;  // of every text, as Llama's and Mixtral's do (add_dummy_prefix)
  std::vector<Piece> pieces;
};

// InvalidArgument: not a model, or one that changes text for good (characters normalised, spaces dropped) or
// marks spaces otherwise than in front of words.
StatusOr<ModelOutline> read_outline(std::string_view model, const std::string& file);

// The same model, but that it puts nothing in front: a field of protocol buffers that comes again counts
// over the first.
std::string without_space_in_front(std::string model);

}  // namespace agora::model
