// Keeps an answerer's trunk as new as the newest that is handed out, and hands it on.
//
//   auto follower = TrunkFollower::start({loop, transport, directory}, make, answerer, settings);
//   follower->stop();      // before what it was given goes
//
// On the loop it looks at the directory's records; a newer trunk is pulled in the background and made into a
// model on the answering thread, between two steps. One that fails is asked of another peer the next time.
// What was taken is handed out in turn: when every trainer has gone, new ones begin from it. Which experts
// are open comes with the trunk, so that servers of one trunk answer alike; but what hosts say is retired is
// closed at once, with the trunk that there is: its trainers may have gone. stop(), counters(): any thread.
#pragma once

#include <memory>
#include <set>
#include <vector>

#include "agora/base/loop.h"
#include "agora/base/mutex.h"
#include "agora/peers/directory/directory.h"
#include "agora/peers/transport/transport.h"
#include "agora/serve/answerer.h"
#include "agora/swarm/census.h"
#include "agora/swarm/trunk_exchange.h"

namespace agora::serve {

struct TrunkFollowerSettings {
  int64_t poll_ns = base::kSecondNs;  // how often newer ones are looked for
  size_t trunks_max = 4;              // in memory; beyond, newer ones wait for answers to end
};

struct TrunkCounters {
  uint64_t taken = 0;
  uint64_t refused = 0;  // could not be pulled, or are not of this model
  uint64_t version = 0;  // of the newest taken: its rounds
  uint64_t rows = 0;     // ... and that it has learned from
  bool any = false;      // false: none has been taken yet
};

class TrunkFollower : public std::enable_shared_from_this<TrunkFollower> {
 public:
  struct Peer {
    base::Loop& loop;
    peers::Transport& transport;
    peers::Directory& directory;
    const swarm::SwarmSpec& spec;
  };
  // Makes a model without weights; on the answering thread.
  using MakeModel = std::function<StatusOr<std::unique_ptr<model::Model>>()>;

  // Serves kGetTrunk: before the transport's first request.
  static std::shared_ptr<TrunkFollower> start(const Peer& peer, MakeModel make, Answerer& answerer,
                                              const TrunkFollowerSettings& settings);
  // Returns when nothing that it was given is touched any more, but for a look that waits at the answerer.
  void stop();
  TrunkCounters counters() const;

 private:
  TrunkFollower(const Peer& peer, MakeModel make, Answerer& answerer, const TrunkFollowerSettings& settings);
  void look();
  void pull();
  void count_numbers();
  bool wants(const swarm::TrunkSource& source) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  size_t trunks_alive() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void on_fetched(StatusOr<swarm::TrunkSnapshot> snapshot);
  void take(const swarm::TrunkSnapshot& snapshot, const Glance& glance);
  // The numbers are those of a trunk with such a layout; what is retired is closed in it.
  StatusOr<ServedTrunk> make_trunk(const swarm::TrunkSnapshot& snapshot,
                                   const std::set<swarm::ExpertName>& retired,
                                   const kernels::Compute& compute) const;
  void close_retired(const Glance& glance);
  void use(ServedTrunk trunk, std::set<swarm::ExpertName> retired) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void refuse() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Peer peer_;
  const MakeModel make_;
  Answerer& answerer_;
  const TrunkFollowerSettings settings_;
  swarm::TrunkShelf shelf_;

  mutable base::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool fetching_ ABSL_GUARDED_BY(mutex_) = false;
  size_t numbers_ ABSL_GUARDED_BY(mutex_) = 0;     // of such a model's trunk; 0: not counted yet
  uint64_t failures_ ABSL_GUARDED_BY(mutex_) = 0;  // one after the other: which source is asked next
  TrunkCounters counters_ ABSL_GUARDED_BY(mutex_);
  swarm::TrunkVersion newest_ ABSL_GUARDED_BY(mutex_);  // of those taken
  std::vector<std::weak_ptr<model::Model>> trunks_ ABSL_GUARDED_BY(mutex_);
  std::set<swarm::ExpertName> retired_ ABSL_GUARDED_BY(mutex_);  // as hosts said last
  std::set<swarm::ExpertName> closed_ ABSL_GUARDED_BY(mutex_);   // of them, those closed in the newest trunk
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace agora::serve
