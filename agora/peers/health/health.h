// How the peers that a gate calls are doing, from the gate's own calls alone; and which of several to call.
//
//   Health health({}, Rng(seed));
//   std::vector<size_t> usable = health.usable(replicas, now);   // indices; never empty if replicas is not
//   size_t chosen = health.choose(replicas, now);                // least expected of two drawn at random
//   health.on_call(peer, now);                                   // then exactly one of:
//   health.on_answer(peer, now, latency_ns, reply.load_us);
//   health.on_failure(peer, now);
//   health.on_given_up(peer);
//
// A failure is the peer's: no answer in time, a broken way, a wrong answer. A refusal because the request was
// bad, or the peer busy, is an answer. Pure: (event, now) -> state; one thread at a time.
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
  size_t peers_max = 4096;  // beyond, the one that was not called for the longest time is forgotten
};

class Health {
 public:
  Health(const HealthSettings& settings, const Rng& rng) : settings_(settings), rng_(rng) {}

  void on_call(const PeerId& peer, int64_t now_ns);
  void on_answer(const PeerId& peer, int64_t now_ns, int64_t latency_ns, uint32_t load_us);
  void on_failure(const PeerId& peer, int64_t now_ns);
  void on_given_up(const PeerId& peer);  // cancelled by us: another was faster, or nobody waits any more
  void on_report(const PeerId& peer, int64_t now_ns, uint32_t load_us);  // load in a directory record
  void forget(const PeerId& peer);                                       // it left

  // Indices into candidates of those that may be called, in order. At least min(floor, candidates) of them:
  // where ejections leave fewer, those whose time is over soonest come back. O(candidates).
  std::vector<size_t> usable(std::span<const PeerId> candidates, int64_t now_ns, size_t floor = 1) const;

  // One of usable(), the one with less expected_ns of two drawn at random; candidates is not empty.
  size_t choose(std::span<const PeerId> candidates, int64_t now_ns);

  Ejection::State state(const PeerId& peer, int64_t now_ns) const;
  int64_t expected_ns(const PeerId& peer, int64_t now_ns) const;
  // Of the peer's answers; 0 when there were fewer than kQuantileCallsMin.
  int64_t quantile_ns(const PeerId& peer, double q) const;
  static constexpr uint32_t kQuantileCallsMin = 8;

 private:
  struct Peer {
    explicit Peer(const EjectionSettings& settings) : ejection(settings) {}
    Ejection ejection;
    LatencyQuantile latency;
    LoadEstimate load;
    int64_t touched_ns = 0;
  };

  Peer& touch(const PeerId& peer, int64_t now_ns);
  const Peer* find(const PeerId& peer) const;

  HealthSettings settings_;
  Rng rng_;
  std::unordered_map<PeerId, Peer> peers_;
};

}  // namespace agora::peers
