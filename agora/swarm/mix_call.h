// The plan of one mixture over many hosts, and what to do when one of them is late, lost or wrong.
//
//   MixCall call(route, settings, candidates, budget, rng);
//   apply(call.start(now));                       // sends and cancels
//   apply(call.on_reply(send, arrived, now));     // or on_failure(send, failure, now), or on_timer(now)
//   while (!call.done()) ...                      // wake at call.timer_ns()
//   for (uint32_t s : call.summands()) add(answer of s);
//
// Every choice goes to one host; the choices of one host are one send. What comes next for choices that a
// host did not serve: another replica; while a host is merely slow, a second host asked beside it (a hedge,
// in the place of the first once all of it has come); the gate's next-best expert; and then nothing: the
// choice is lost, which is data. Where the budget does not pay for another replica, training loses the
// choice; an answer would change, so it asks after a pause. No choice is in two summands. A host that failed
// is not asked again by this call, so it ends: with at most as many sends as there are hosts and experts, and
// at the deadline at the latest. A pure state machine: no clock, no network, no threads.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "agora/base/rng.h"
#include "agora/moe/route.h"
#include "agora/swarm/finder/candidate.h"

namespace agora::swarm {

enum class Way : uint8_t { first, replica, hedge, next_expert };

enum class Failure : uint8_t {
  broken,  // no way to it: ask another, which adds to nobody's work
  gone,    // no answer in time, or not one that can be used: ask another, if the budget pays for it
  busy,    // it will take it later: ask another, or the same one after a pause
};

struct MixSend {
  uint32_t send = 0;
  uint32_t origin = 0;  // the first send of these choices: itself, or whose place it takes
  Way way = Way::first;
  peers::PeerId to;
  peers::Endpoint at;
  std::vector<int32_t> choices;  // of the whole route, ascending
  std::vector<int32_t> experts;  // [choices] the route's own, but for Way::next_expert
  int64_t deadline_ns = 0;
};

struct MixActions {
  std::vector<MixSend> sends;
  std::vector<uint32_t> cancels;
};

struct MixSettings {
  bool leader_first = true;              // training; false: any replica that is fresh enough
  uint64_t version_age_max = 64;         // behind the freshest that is known
  bool next_best = false;                // the route's runner-up takes the place of what is lost
  int64_t deadline_ns = 0;               // of all
  int64_t attempt_ns = 2'500'000'000;    // of one send ...
  int64_t choice_ns = 0;                 // ... and more for each choice in it
  int64_t attempt_ns_min = 0;            // where the host's patience is shorter
  int64_t hedge_ns = INT64_MAX;          // a send older than this is hedged
  int64_t pause_ns = 20'000'000;         // before a busy host is asked again; doubled each time ...
  int64_t pause_ns_max = 1'000'000'000;  // ... up to this
};

// Retries and hedges of all calls together: see peers/health.
class CallBudget {
 public:
  virtual ~CallBudget() = default;
  virtual bool may_retry() = 0;  // and takes one
  virtual bool may_hedge() = 0;
};

class MixCall {
 public:
  using Candidates = std::function<std::vector<Candidate>(int32_t expert)>;
  // How long an answer of the host is worth waiting for; a send waits within settings.attempt_ns_min and
  // attempt_ns with what its choices add. Without it: the latter.
  using Patience = std::function<int64_t(const peers::PeerId& host)>;

  // route and budget outlive the call.
  MixCall(const moe::Route& route, const MixSettings& settings, Candidates candidates, CallBudget& budget,
          Rng rng, Patience patience = {});

  MixActions start(int64_t now_ns);
  // A piece of the route that goes to a certain host first: where its forward went. To another at once where
  // that one is no candidate any more.
  struct Pinned {
    peers::PeerId to;
    peers::Endpoint at;
    std::vector<int32_t> choices;
  };
  MixActions start(const std::vector<Pinned>& pieces, int64_t now_ns);

  // arrived [choices of the send]. A reply to a send that is over is ignored.
  MixActions on_reply(uint32_t send, std::span<const uint8_t> arrived, int64_t now_ns);
  MixActions on_failure(uint32_t send, Failure failure, int64_t now_ns);
  MixActions on_timer(int64_t now_ns);
  // A send that waits goes to its host once more, with more in it: the host has its time anew.
  void begin_again(uint32_t send, int64_t now_ns);

  bool done() const { return waiting_ == 0 && parked_.empty(); }
  int64_t timer_ns() const;  // when on_timer() has something to do
  const MixSend& send(uint32_t number) const { return sends_[number].plan; }

  // When done: the sends whose answers make the sum, by their lowest expert; no choice is in two of them.
  std::vector<uint32_t> summands() const;
  // Whether choice number `place` of the send came with its answer.
  bool in_sum(uint32_t send, size_t place) const { return sends_[send].arrived[place] != 0; }
  // [choices] 1: in the sum.
  const std::vector<uint8_t>& arrived() const { return arrived_; }
  // Choices by the way in which they were served.
  struct Served {
    int64_t first = 0, replica = 0, hedge = 0, next_expert = 0, lost = 0;
  };
  Served served() const;

 private:
  static constexpr size_t kSendsMax = 1024;
  static constexpr uint32_t kNone = UINT32_MAX;

  enum class Phase : uint8_t { waiting, answered, failed, dropped };
  struct Sent {
    MixSend plan;
    Phase phase = Phase::waiting;
    int64_t sent_ns = 0;
    bool hedged = false;        // or a hedge itself
    uint32_t hedge_of = kNone;  // while that one still waits
    std::vector<uint32_t> hedges;
    std::vector<uint8_t> arrived;
  };
  struct Choice {
    int32_t choice;
    int32_t expert;
  };
  struct Parked {
    std::vector<Choice> choices;
    Way way;
    uint32_t origin;
    int64_t when_ns;
  };

  void assign(std::vector<Choice> choices, Way way, uint32_t origin, int64_t now_ns, MixActions& actions);
  const Candidate* choose(const std::vector<Candidate>& all, int32_t expert, const peers::PeerId* without);
  uint32_t add_send(MixSend plan, int64_t now_ns, MixActions& actions);
  void lose(std::vector<Choice> choices, uint32_t origin, int64_t now_ns, MixActions& actions);
  void accept(uint32_t send, int64_t now_ns, MixActions& actions);
  void drop(uint32_t send, MixActions& actions);
  void settle_hedges(uint32_t parent, MixActions& actions);
  void hedge(uint32_t send, int64_t now_ns, MixActions& actions);
  void go_on(uint32_t send, Failure failure, int64_t now_ns, MixActions& actions);
  bool can_go_elsewhere(const std::vector<Choice>& choices, const peers::PeerId& than);
  void park(std::vector<Choice> choices, Way way, const MixSend& failed, int64_t now_ns);
  void end(MixActions& actions);
  int64_t attempt_ns(const MixSend& plan) const;
  int64_t deadline_ns(const MixSend& plan, int64_t now_ns) const;
  bool is_candidate(const peers::PeerId& host, const std::vector<int32_t>& experts) const;
  std::vector<Choice> choices_of(const MixSend& plan) const;

  const moe::Route& route_;
  const MixSettings settings_;
  Candidates candidates_;
  Patience patience_;
  CallBudget& budget_;
  Rng rng_;
  std::vector<int32_t> token_;  // [choices]
  std::vector<Sent> sends_;
  std::vector<Parked> parked_;
  std::vector<uint8_t> arrived_;
  std::vector<uint8_t> runner_up_used_;                   // [T]
  std::set<peers::PeerId> gone_;                          // failed this call
  std::set<std::pair<peers::PeerId, int32_t>> not_held_;  // said so
  int64_t waiting_ = 0;                                   // sends
  std::map<peers::PeerId, int64_t> pause_ns_;             // the next one of a host that was busy
};

}  // namespace agora::swarm
