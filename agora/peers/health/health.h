// How the peers that a gate calls are doing, from the gate's own calls alone; and which of several to call.
//
//   Health health({}, Rng(seed));
//   std::vector<size_t> usable = health.usable(replicas, now);   // indices; never empty if replicas is not
//   int64_t expected_ns = health.expected_ns(replica, now);      // the least of two drawn is called
//   health.on_call(peer, now);                                   // then exactly one of:
//   health.on_answer(peer, now, latency_ns, reply.load_us);
//   health.on_failure(peer, now);                                //   a broken way, a wrong answer
//   health.on_late(peer, now, waited_ns);                        //   no answer in time
//   health.on_given_up(peer, now);                               //   another was faster, or nobody waits
//
// A refusal because the request was bad, or the peer busy, is an answer.
//
// A machine that stands still breaks no connection and answers nothing. It is told from a slow one by its
// silence: the time that calls have waited for it since it last answered any. A peer that was silent for
// several times its own slow answers, and for silence_min_ns at least, is ejected by the next call that is
// late or given up, if others answered meanwhile - else it may be we who stood still - and unless a third of
// all peers are out for silence already: so many at once are a machine or a network that is busy, which
// ejecting makes worse. Calls that are late at a peer that does answer count towards the share of failures
// only, and lengthen patience_ns(). Pure: (event, now) -> state; one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "agora/base/rng.h"
#include "agora/peers/health/ejection.h"
#include "agora/peers/health/latency_quantile.h"
#include "agora/peers/health/load_estimate.h"
#include "agora/peers/peer_id.h"

namespace agora::peers {

struct HealthSettings {
  EjectionSettings ejection;
  int64_t silence_min_ns = 250 * base::kMillisecondNs;  // a busy machine lets a process wait for so long
  int64_t silence_unknown_ns = base::kSecondNs;         // while there are too few answers for a quantile
  double silence_share_max = 1.0 / 3;                   // of the peers; one may always be
  size_t peers_max = 4096;  // beyond, the one that was not called for the longest time is forgotten
};

class Health {
 public:
  Health(const HealthSettings& settings, const Rng& rng) : settings_(settings), rng_(rng) {}

  void on_call(const PeerId& peer, int64_t now_ns);
  void on_answer(const PeerId& peer, int64_t now_ns, int64_t latency_ns, uint32_t load_us);
  void on_failure(const PeerId& peer, int64_t now_ns);
  void on_late(const PeerId& peer, int64_t now_ns, int64_t waited_ns);
  void on_given_up(const PeerId& peer, int64_t now_ns);
  void on_report(const PeerId& peer, int64_t now_ns, uint32_t load_us);  // load in a directory record
  void forget(const PeerId& peer);                                       // it left

  // Indices into candidates of those that may be called, in order. At least min(floor, candidates) of them:
  // where ejections leave fewer, those whose time is over soonest come back. O(candidates).
  std::vector<size_t> usable(std::span<const PeerId> candidates, int64_t now_ns, size_t floor = 1) const;

  Ejection::State state(const PeerId& peer, int64_t now_ns) const;
  int64_t expected_ns(const PeerId& peer, int64_t now_ns) const;
  // Of the peer's answers; 0 when there were fewer than kQuantileCallsMin.
  int64_t quantile_ns(const PeerId& peer, double q) const;
  static constexpr uint32_t kQuantileCallsMin = 8;
  // How long to wait for an answer: several times the peer's own slow ones. INT64_MAX: it has not answered
  // often enough to say. 0: it is ejected, more than a glance is a waste. A probe gets what it had before:
  // cut short, it would keep out whoever is far away.
  int64_t patience_ns(const PeerId& peer, int64_t now_ns) const;

 private:
  struct Peer {
    explicit Peer(const EjectionSettings& settings) : ejection(settings) {}
    Ejection ejection;
    LatencyQuantile latency;
    LoadEstimate load;
    int64_t touched_ns = 0;
    int64_t waiting_since_ns = 0;   // while calls are in flight: since when silence grows
    int64_t silent_ns = 0;          // before that, since its last answer
    int64_t failed_ns = INT64_MIN;  // when a late call last counted as a failure: others sent before do not
    bool out_for_silence = false;   // the last ejection was
  };

  Peer& touch(const PeerId& peer, int64_t now_ns);
  const Peer* find(const PeerId& peer) const;
  void end_call(Peer& peer, int64_t now_ns);
  bool is_silent(const Peer& peer, int64_t now_ns) const;
  bool too_many_silent(int64_t now_ns) const;
  void on_silence(Peer& peer, int64_t now_ns);

  HealthSettings settings_;
  Rng rng_;
  int64_t answered_ns_ = INT64_MIN;  // when any peer last answered
  std::unordered_map<PeerId, Peer> peers_;
};

}  // namespace agora::peers
