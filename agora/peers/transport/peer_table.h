// Which sessions a transport has with whom, and which one a call takes.
//
//   auto session = table.find(settings, now_ns);              // null: dial
//   StatusOr<...> = table.begin_dial(...);   table.opened(session);   table.closed(session);
//
// Two peers that have dialed each other at once keep the session that the peer with the lower id dialed; of
// two that one side dialed, the later. Both sides decide so, each for itself, and the other one retires when
// its calls have ended. Of a peer that has more than limits.connections_per_peer_max the last of that order
// is closed: only the side that dialed closes by itself, and may choose not to. Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "agora/base/mutex.h"
#include "agora/peers/transport/session.h"

namespace agora::peers {

class PeerTable {
 public:
  PeerTable(const PeerId& self, const TransportLimits& limits) : self_(self), limits_(limits) {}

  // A session that the call may take: open, or being dialed for the same peer and place.
  std::shared_ptr<Session> find(const CallSettings& settings) const;

  // Remembers that session is being dialed, unless one that find() gives has come meanwhile: then that one.
  // Unavailable: the peer could not be reached at this place a short while ago.
  StatusOr<std::shared_ptr<Session>> begin_dial(const CallSettings& settings,
                                                std::shared_ptr<Session> session, int64_t now_ns);

  struct Displaced {
    std::vector<std::shared_ptr<Session>> retire;  // the peer has a better one
    // Of a process that is no more, or one too many; not in the table any more.
    std::vector<std::shared_ptr<Session>> close;
  };
  Displaced opened(const std::shared_ptr<Session>& session);
  void closed(const std::shared_ptr<Session>& session, int64_t now_ns);

  std::vector<std::shared_ptr<Session>> all() const;
  size_t open_count() const;

 private:
  struct Dial {
    PeerId to;
    Endpoint at;
    std::shared_ptr<Session> session;
    bool open = false;
  };
  struct Failure {
    int64_t until_ns = 0, wait_ns = 0;
  };
  using SessionPtr = std::shared_ptr<Session>;

  SessionPtr find_locked(const CallSettings& settings) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool better(const Session& a, const Session& b) const;
  void failed(const Dial& dial, int64_t now_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const PeerId self_;
  const TransportLimits limits_;
  mutable base::Mutex mutex_;
  std::map<PeerId, std::vector<SessionPtr>> open_ ABSL_GUARDED_BY(mutex_);  // the best one first
  std::vector<Dial> dials_ ABSL_GUARDED_BY(mutex_);  // of all sessions that we dialed and that live
  // By whom we wanted and where: who looks for the wrong peer at a place keeps nobody from the right one.
  std::map<std::pair<PeerId, Endpoint>, Failure> failures_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace agora::peers
