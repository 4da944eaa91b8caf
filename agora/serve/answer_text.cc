#include "agora/serve/answer_text.h"

#include <utility>

namespace agora::serve {

AnswerText::AnswerText(const model::Tokenizer& tokenizer, std::vector<std::string> stops, int64_t tokens_max)
    : eos_id_(tokenizer.eos_id()), tokens_max_(tokens_max), decoder_(tokenizer), stops_(std::move(stops)) {}

std::string AnswerText::take(int32_t token) {
  ++tokens_;
  std::string text;
  if (token == eos_id_) {
    finish_ = Finish::end_of_text;
  } else {
    text = stops_.push(decoder_.push(token));
    if (!stops_.stopped() && tokens_ == tokens_max_) finish_ = Finish::length;
  }
  if (finish_) text += rest();
  if (stops_.stopped()) finish_ = Finish::stop;
  return text;
}

// The decoder's bytes come after those that the stop texts hold back.
std::string AnswerText::rest() {
  std::string text = stops_.push(decoder_.finish());
  text += stops_.finish();
  return text;
}

}  // namespace agora::serve
