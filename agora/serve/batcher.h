// Which rows of which sessions go through the model in the next step: a plan, no clock, no model, no thread.
//
//   AGORA_RETURN_IF_ERROR(batcher.join(session, Priority::interactive, cache_bytes, prompt_tokens));
//   for (SessionId s : batcher.admit()) ...                 // their turn has come: give them a key cache
//   for (PlannedRead r : batcher.plan()) ...                // one step; then, for each of its sessions:
//   batcher.set_unread(r.session, tokens_left);             // ... what is left, a sampled token included
//   batcher.leave(session);                                 // at any time
//
// Every session that is answering reads its one token in every step. Prompts share the rows that are left of
// the step, so that a long one delays nobody's next token, and a short one is not delayed by a long one. Who
// waits is admitted by priority, then in order of arrival. One thread at a time.
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

#include "agora/base/result.h"
#include "agora/peers/transport/transport.h"

namespace agora::serve {

using peers::Priority;

struct SessionId {
  uint64_t value = 0;
  friend auto operator<=>(SessionId, SessionId) = default;
};

struct BatcherLimits {
  int64_t sessions_max = 32;            // advancing together
  int64_t waiting_max = 128;            // beyond them
  int64_t cache_bytes_max = 1LL << 30;  // key caches of those that advance
  int64_t rows_max = 64;                // of a step in which somebody answers; at least sessions_max
  int64_t rows_of_prompts_max = 256;    // of a step in which nobody does
};

struct PlannedRead {
  SessionId session;
  int64_t rows = 0;
  friend bool operator==(const PlannedRead&, const PlannedRead&) = default;
};

class Batcher {
 public:
  explicit Batcher(const BatcherLimits& limits);

  // unread: tokens that the model has to see before it answers, at least one. ResourceExhausted: come back
  // later, or, when it is the cache that will never fit, ask for less.
  Status join(SessionId session, Priority priority, int64_t cache_bytes, int64_t unread);
  void leave(SessionId session);  // nothing happens where there is no such session
  std::vector<SessionId> admit();

  std::vector<PlannedRead> plan() const;
  void set_unread(SessionId session, int64_t unread);

  int64_t active() const { return active_; }
  int64_t waiting() const { return std::ssize(members_) - active_; }
  int64_t cache_bytes() const { return cache_bytes_; }

 private:
  struct Member {
    SessionId session;
    Priority priority;
    int64_t cache_bytes;
    int64_t unread;
    bool active = false;
  };
  void share_among_prompts(Priority priority, int64_t* rows_left, std::vector<PlannedRead>& plan) const;

  BatcherLimits limits_;
  std::vector<Member> members_;  // by priority, then arrival
  int64_t active_ = 0;
  int64_t cache_bytes_ = 0;  // of the active
};

}  // namespace agora::serve
