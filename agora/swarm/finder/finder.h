// Which hosts could serve an expert now, as this gate knows from the directory and from its own calls.
//
//   Finder finder(loop, directory, spec, rng);
//   finder.candidates({layer, expert});      // living replicas, with role, version, expected wait
//   finder.on_call(peer);                    // then exactly one of:
//   finder.on_reply(peer, latency_ns, load_us);   finder.on_failure(peer);
//   finder.on_late(peer, waited_ns);   finder.on_given_up(peer);
//
// A peer that fails is left alone for a while (peers/health), but never the last one that holds an expert.
// What a record claims beyond the specification's layers and experts is ignored (census.h).
// The directory outlives the finder and runs on the loop. candidates(): O(replicas). Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "agora/base/loop.h"
#include "agora/base/rng.h"
#include "agora/peers/directory/directory.h"
#include "agora/swarm/finder/candidate.h"
#include "agora/swarm/host/held_experts.h"
#include "agora/swarm/spec.h"

namespace agora::swarm {

class Finder {
 public:
  Finder(base::Loop& loop, peers::Directory& directory, const SwarmSpec& spec, Rng rng);
  ~Finder();

  // Those not ejected (never none if there is any), in no order.
  std::vector<Candidate> candidates(ExpertName expert) const;

  void on_call(const peers::PeerId& peer);
  void on_reply(const peers::PeerId& peer, int64_t latency_ns, uint32_t load_us);
  void on_failure(const peers::PeerId& peer);
  void on_late(const peers::PeerId& peer, int64_t waited_ns);  // no answer in time
  void on_given_up(const peers::PeerId& peer);                 // cancelled by us
  // How long an answer is worth waiting for; see peers/health.
  int64_t patience_ns(const peers::PeerId& peer) const;

  // Rows a second that each expert of a layer gets, over all hosts that hold it: what gates balance by. Who
  // led it before another took it over counts no more. All 0 where a host does not tell what one gets that it
  // leads: others would seem to get too much. [experts]
  std::vector<int64_t> loads(LayerId layer, int64_t experts) const;
  // Waits until every expert 0 .. experts - 1 of every layer has a leader, but for those that are retired.
  // DeadlineExceeded names the missing.
  Status wait_until_covered(int64_t layers, int64_t experts, int64_t deadline_ns) const;

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the directory's listener, which can not be taken back
};

}  // namespace agora::swarm
