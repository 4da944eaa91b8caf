#include "agora/serve/batcher.h"

#include <algorithm>

#include "agora/base/check.h"
#include "agora/base/text.h"

namespace agora::serve {

using base::concat;

Batcher::Batcher(const BatcherLimits& limits) : limits_(limits) {
  AGORA_CHECK(limits.sessions_max > 0 && limits.waiting_max >= 0);
  AGORA_CHECK(limits.rows_max >= limits.sessions_max && limits.rows_of_prompts_max > 0);
}

Status Batcher::join(SessionId session, Priority priority, int64_t cache_bytes, int64_t unread) {
  AGORA_CHECK_GT(unread, 0);
  if (cache_bytes > limits_.cache_bytes_max) {
    return absl::ResourceExhaustedError(concat("the answer needs ", cache_bytes,
                                               " bytes of key cache, this server has ",
                                               limits_.cache_bytes_max, ": ask for fewer tokens"));
  }
  if (std::ssize(members_) >= limits_.sessions_max + limits_.waiting_max) {
    return absl::ResourceExhaustedError(concat("the server is full: ", active_, " answers under way, ",
                                               waiting(), " waiting: try later or another server"));
  }
  const auto place = std::ranges::upper_bound(members_, priority, {}, &Member::priority);
  members_.insert(place, {session, priority, cache_bytes, unread});
  return absl::OkStatus();
}

void Batcher::leave(SessionId session) {
  const auto member = std::ranges::find(members_, session, &Member::session);
  if (member == members_.end()) return;
  if (member->active) {
    --active_;
    cache_bytes_ -= member->cache_bytes;
  }
  members_.erase(member);
}

// The first that does not fit keeps its place: smaller ones behind it would pass it for ever.
std::vector<SessionId> Batcher::admit() {
  std::vector<SessionId> admitted;
  for (Member& member : members_) {
    if (member.active) continue;
    if (active_ >= limits_.sessions_max) break;
    if (cache_bytes_ + member.cache_bytes > limits_.cache_bytes_max) break;
    member.active = true;
    ++active_;
    cache_bytes_ += member.cache_bytes;
    admitted.push_back(member.session);
  }
  return admitted;
}

std::vector<PlannedRead> Batcher::plan() const {
  std::vector<PlannedRead> plan;
  for (const Member& member : members_) {
    if (member.active && member.unread == 1) plan.push_back({member.session, 1});
  }
  int64_t rows_left = plan.empty() ? limits_.rows_of_prompts_max : limits_.rows_max - std::ssize(plan);
  for (const Priority priority : {Priority::interactive, Priority::training, Priority::background}) {
    share_among_prompts(priority, &rows_left, plan);
  }
  return plan;
}

// Equal shares; what a short prompt does not need goes to the longer ones.
void Batcher::share_among_prompts(Priority priority, int64_t* rows_left,
                                  std::vector<PlannedRead>& plan) const {
  std::vector<const Member*> prompts;
  for (const Member& member : members_) {
    if (member.active && member.unread > 1 && member.priority == priority) prompts.push_back(&member);
  }
  std::ranges::stable_sort(prompts, {}, [](const Member* m) { return m->unread; });
  for (size_t i = 0; i < prompts.size() && *rows_left > 0; ++i) {
    const auto sharers = static_cast<int64_t>(prompts.size() - i);
    const int64_t rows = std::min(prompts[i]->unread, std::max<int64_t>(1, *rows_left / sharers));
    plan.push_back({prompts[i]->session, rows});
    *rows_left -= rows;
  }
}

void Batcher::set_unread(SessionId session, int64_t unread) {
  const auto member = std::ranges::find(members_, session, &Member::session);
  AGORA_CHECK(member != members_.end() && unread > 0);
  member->unread = unread;
}

}  // namespace agora::serve
