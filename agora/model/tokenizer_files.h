// How a tokenizer lies in a model's folder: tokenizer_config.json, and tokenizer.model for SentencePiece.
//
// tokenizer_config.json has Hugging Face's keys, of which add_bos_token counts where SentencePiece's models
// come from elsewhere, and our own under "agora": the kind, a hash of tokenizer.model or the characters. Any
// thread.
#pragma once

#include <string>
#include <string_view>

#include "agora/base/result.h"
#include "agora/model/tokenizer.h"

#include "nlohmann/json.hpp"

namespace agora::model {

std::string_view name_of(TokenizerKind kind);

nlohmann::ordered_json sentencepiece_config(TokenizerKind kind, std::string_view model, bool space_in_front,
                                            bool bos_in_front);

// Both files atomically; an empty model: only the config.
Status write_tokenizer(const std::string& dir, const nlohmann::ordered_json& config, std::string_view model);

}  // namespace agora::model
