// Hosts by number, where experts are, and a budget, for tests of a MixCall.
//
//   HeldBy placement{{0, {1, 9}}};   Spend budget;
//   MixCall call(route, kTraining, candidates_of(placement), budget, Rng(1));
//
// Tests only; the placement outlives the call.
#pragma once

#include <map>
#include <vector>

#include "agora/swarm/mix_call.h"

namespace agora::swarm {

inline peers::PeerId peer(int n) {
  peers::PeerId id;
  id.bytes[0] = static_cast<std::byte>(n);
  return id;
}

struct Spend final : CallBudget {
  int retries = 100, hedges = 100;
  bool may_retry() override { return retries-- > 0; }
  bool may_hedge() override { return hedges-- > 0; }
};

// Which hosts hold which expert; the first of them leads.
using HeldBy = std::map<int32_t, std::vector<int>>;

inline MixCall::Candidates candidates_of(const HeldBy& placement) {
  return [&placement](int32_t expert) {
    std::vector<Candidate> all;
    const auto held = placement.find(expert);
    if (held == placement.end()) return all;
    for (const int host : held->second) {
      all.push_back(
          {.peer = peer(host), .leads = all.empty(), .epoch = 1, .version = 7, .wait_ns = host * 1000});
    }
    return all;
  };
}

inline const MixSettings kTraining{
    .leader_first = true, .deadline_ns = 1000, .attempt_ns = 400, .pause_ns = 50};
inline const MixSettings kInteractive{.leader_first = false,
                                      .next_best = true,
                                      .deadline_ns = 1000,
                                      .attempt_ns = 400,
                                      .hedge_ns = 100,
                                      .pause_ns = 50};

}  // namespace agora::swarm
