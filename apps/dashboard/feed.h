// What the page of a peer shows, as JSON: the whole swarm as this peer sees it. docs/dashboard.md has the
// format.
//
//   Feed feed(transport, clock);
//   feed.note(node.status());            // every second
//   std::string json = feed.json();      // GET /feed
//
// Who is there, what they hold and how they do is in the directory's records, which cost nothing. Calls,
// failures and lost gate weight only each peer itself knows: while somebody looks, and only then, the feed
// asks up to kAskedMax of them for it, kGetStatus without the peers that they know, at most one call to each
// under way and one every kAskEveryNs. Any thread.
#pragma once

#include <memory>
#include <string>

#include "agora/base/clock.h"
#include "agora/base/mutex.h"
#include "agora/peers/transport/transport.h"

#include "apps/dashboard/chronicle.h"
#include "apps/dashboard/peer_status.h"

namespace agora::dashboard {

class Feed {
 public:
  static constexpr size_t kAskedMax = 64;
  static constexpr int64_t kAskEveryNs = 2'000'000'000;
  static constexpr int64_t kAnswerNs = 1'500'000'000;  // who takes longer is shown as silent
  static constexpr int64_t kLookedNs = 5'000'000'000;  // since the last json(): then nobody looks any more

  // Both outlive it, but the transport may be stopped before.
  Feed(peers::Transport& transport, const Clock& clock);
  ~Feed();

  void note(PeerStatus status);
  std::string json();

 private:
  struct Answers;
  void ask(const PeerStatus& status, int64_t now_ns);
  nlohmann::ordered_json peer_json(const PeerEntry& entry);

  peers::Transport& transport_;
  const Clock& clock_;
  const std::shared_ptr<Answers> answers_;  // shared with calls under way

  base::Mutex mutex_;
  PeerStatus status_ ABSL_GUARDED_BY(mutex_);
  Chronicle chronicle_ ABSL_GUARDED_BY(mutex_);
  int64_t looked_ns_ ABSL_GUARDED_BY(mutex_);
  int64_t asked_ns_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace agora::dashboard
