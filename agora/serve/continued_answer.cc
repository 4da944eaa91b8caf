#include "agora/serve/continued_answer.h"

#include "agora/base/text.h"

namespace agora::serve {
namespace {

// The question itself is at fault: every server will say so.
bool is_final(const Status& status) {
  return status.code() == absl::StatusCode::kInvalidArgument ||
         status.code() == absl::StatusCode::kOutOfRange;
}

}  // namespace

peers::Payload ContinuedAnswer::next_request() {
  ++servers_;
  broken_ = false;
  return encode(request_);
}

std::string ContinuedAnswer::on_part(base::Bytes bytes) {
  if (broken_) return {};
  auto part = decode_ask_part(bytes);
  const auto have = std::ssize(request_.answered);
  if (part.ok() && (part->first != have || have + std::ssize(part->tokens) > request_.tokens_max)) {
    part = absl::DataLossError(base::concat("expected token ", have, " of an answer of at most ",
                                            request_.tokens_max, ", found ", part->tokens.size(),
                                            " from token ", part->first));
  }
  if (!part.ok()) {
    broken_ = true;
    failure_ = part.status();
    return {};
  }
  if (!part->tokens.empty()) failures_ = 0;
  request_.answered.insert(request_.answered.end(), part->tokens.begin(), part->tokens.end());
  return std::move(part->text);
}

ContinuedAnswer::Next ContinuedAnswer::fail(Status failure) {
  failure_ = std::move(failure);
  return ++failures_ < kFailuresMax ? Next::elsewhere : Next::failed;
}

ContinuedAnswer::Next ContinuedAnswer::on_reply(const Status& status, base::Bytes reply) {
  if (broken_) return fail(failure_);
  if (!status.ok()) {
    const Next next = fail(status);
    return is_final(status) ? Next::failed : next;
  }
  const auto summary = decode_ask_summary(reply);
  if (!summary.ok()) return fail(summary.status());
  summary_ = *summary;
  summary_.answer_tokens = std::ssize(request_.answered);
  return Next::done;
}

}  // namespace agora::serve
