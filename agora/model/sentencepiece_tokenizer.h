// Unigram and BPE tokenizers: SentencePiece models used so that every text comes back byte for byte.
//
//   AGORA_ASSIGN_OR_RETURN(std::string model, train_sentencepiece(sample, TokenizerKind::bpe, 4096));
//   AGORA_ASSIGN_OR_RETURN(auto tokenizer, open_sentencepiece(model, "tokenizer.model"));
//
// SentencePiece alone is not exact: it marks a space by U+2581, so a U+2581 in the text would come back as a
// space, and it replaces what is not UTF-8. Such bytes are given to the model's 256 byte pieces here, past
// SentencePiece. Text goes to it in units (spaces, then what follows up to the next space or line): no piece
// can cross a unit's border, so the ids are those of the whole text, and a unit seen before is not worked out
// again; a model from elsewhere with pieces that may cross it (tabs, several words) gets the text whole. Only
// a unit or a text of more than 64 KiB is cut, and may have other ids there than SentencePiece alone gives.
// Any thread may use a tokenizer.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "agora/base/result.h"
#include "agora/model/tokenizer.h"

namespace agora::model {

// A serialized SentencePiece model (the content of tokenizer.model). Cost: about 1 s per MB of sample for
// bpe, 5 s for unigram.
StatusOr<std::string> train_sentencepiece(std::string_view sample, TokenizerKind kind, int32_t vocabulary);

// Refuses models that change text for good (normalisation, spaces dropped) or lack byte pieces. A space that
// the model puts in front of every text is put there, and decode() takes it away. bos_in_front (tokenizer.h)
// is for the caller to know; it is refused where the model has no such piece. `file` is for messages.
StatusOr<std::unique_ptr<Tokenizer>> open_sentencepiece(std::string model, const std::string& file,
                                                        bool bos_in_front = false);

}  // namespace agora::model
