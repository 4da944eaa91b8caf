// The asking side of one answer: what came, and what to ask the next server when one fails in the middle.
//
//   ContinuedAnswer answer(request);
//   call(answer.next_request());           show(answer.on_part(bytes));
//   switch (answer.on_reply(status, bytes)) { case Next::done: ... case Next::elsewhere: call again ... }
//
// No transport, no clock. One thread at a time.
#pragma once

#include <string>

#include "agora/base/bytes.h"
#include "agora/serve/ask_wire.h"

namespace agora::serve {

class ContinuedAnswer {
 public:
  static constexpr int kFailuresMax = 16;  // one after the other, without a token between them

  enum class Next : uint8_t {
    done,
    elsewhere,  // ask another server, or this one later, for the rest
    failed,     // no server will do better
  };

  explicit ContinuedAnswer(AskRequest request) : request_(std::move(request)) {}

  // For the whole of it at first, then for what has not come.
  peers::Payload next_request();
  // Text to show. Empty also where the part is not what was asked for: then nothing of this server counts.
  std::string on_part(base::Bytes part);
  Next on_reply(const Status& status, base::Bytes reply);
  // The server at hand sent what was not asked for: its call may be cancelled.
  bool broken() const { return broken_; }

  const std::vector<int32_t>& tokens() const { return request_.answered; }
  // Of the server that ended the answer; answer_tokens: of the whole of it.
  const AskSummary& summary() const { return summary_; }
  int64_t servers() const { return servers_; }  // that were asked
  const Status& last_failure() const { return failure_; }

 private:
  Next fail(Status failure);

  AskRequest request_;
  AskSummary summary_;
  Status failure_;
  int64_t servers_ = 0;
  int failures_ = 0;
  bool broken_ = false;
};

}  // namespace agora::serve
