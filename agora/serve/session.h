// One answer in the making: its sequence, and what of its text can be shown.
//
//   AGORA_ASSIGN_OR_RETURN(auto session, Session::create(trunk, tokenizer, std::move(request)));
//   ... session->sequence().step(rows) goes through session->trunk().model until nothing is unread ...
//   AskPart part = session->advance();      if (session->finish()) ...;
//
// Keeps its trunk until it ends, however many newer ones come. One thread at a time.
#pragma once

#include <memory>
#include <optional>

#include "agora/serve/answer_text.h"
#include "agora/serve/ask_wire.h"
#include "agora/serve/sequence.h"

namespace agora::serve {

struct ServedTrunk {
  uint64_t version = 0;
  std::shared_ptr<model::Model> model;  // shared by the sessions that began with it
};

class Session {
 public:
  // InvalidArgument: limits, a prompt that the tokenizer can not read, tokens outside the vocabulary.
  static StatusOr<std::unique_ptr<Session>> create(const ServedTrunk& trunk,
                                                   const model::Tokenizer& tokenizer, AskRequest request);

  const ServedTrunk& trunk() const { return trunk_; }
  Sequence& sequence() { return *sequence_; }
  int64_t prompt_tokens() const { return prompt_tokens_; }
  int64_t answer_tokens() const { return text_.tokens(); }  // those that came with the request included

  // Samples the next token, nothing being unread.
  AskPart advance();
  // Set once the answer is whole; it may be whole from the start.
  std::optional<Finish> finish() const { return text_.finish(); }

 private:
  Session(const ServedTrunk& trunk, const model::Tokenizer& tokenizer, AskRequest request);

  ServedTrunk trunk_;
  AskRequest request_;
  std::unique_ptr<Sequence> sequence_;
  AnswerText text_;
  int64_t prompt_tokens_ = 0;
};

}  // namespace agora::serve
