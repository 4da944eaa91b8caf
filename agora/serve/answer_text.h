// What people see of an answer while it is made: from its tokens to text, and whether it has ended.
//
//   AnswerText text(tokenizer, {"User:"}, /*tokens_max=*/200);
//   show(text.take(token));      if (text.finish()) ...;
//   show(text.rest());           // of an answer that is broken off before
//
// The beginning of a character and of a stop text is held back until it is clear what it is; with the end it
// is given, in the order of the tokens. One thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agora/model/tokenizer.h"
#include "agora/serve/ask_wire.h"
#include "agora/serve/stop.h"

namespace agora::serve {

class AnswerText {
 public:
  // tokenizer outlives it.
  AnswerText(const model::Tokenizer& tokenizer, std::vector<std::string> stops, int64_t tokens_max);

  // Gives the text that can be shown now.
  std::string take(int32_t token);
  std::string rest();

  int64_t tokens() const { return tokens_; }
  std::optional<Finish> finish() const { return finish_; }  // set once the answer is whole

 private:
  const int32_t eos_id_;
  const int64_t tokens_max_;
  model::StreamDecoder decoder_;
  StopWatcher stops_;
  int64_t tokens_ = 0;
  std::optional<Finish> finish_;
};

}  // namespace agora::serve
