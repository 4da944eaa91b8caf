// Tokenizers that need no training: one id per character of a text, one id per byte.
//
//   std::unique_ptr<Tokenizer> tokenizer = make_character_tokenizer(characters_of(text));
//
// Any thread may use a tokenizer.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agora/model/tokenizer.h"

namespace agora::model {

// The distinct characters in order of their code, then the distinct bytes that are not UTF-8.
std::vector<std::string> characters_of(std::string_view text);

// Id = position in `characters`; these differ, each is one character or one byte that is not UTF-8.
std::unique_ptr<Tokenizer> make_character_tokenizer(std::vector<std::string> characters);

std::unique_ptr<Tokenizer> make_byte_tokenizer();

}  // namespace agora::model
