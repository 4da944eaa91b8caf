// One round of trunk averaging at one trainer: who takes part, whose deltas count, when it is over.
//
//   Round round(config, self, base, {self, hash, rows}, others, now);
//   for (Action& a : round.take_actions()) ...;   loop.at(round.wake_ns(), ...)     // after every event
//   round.on_news(peer, news, now);   round.on_answer(peer, number, news, now);
//   round.on_fetched(hash, peer, ok, now);   round.on_lost(peer, now);   round.on_time(now);
//
// A pure state machine: no bytes of trunks, no sockets, no clock. How it goes, for P members and N numbers:
//   - each tells the others its news: its version, and its contribution (a hash) when it is ready. P (P - 1)
//     small messages there and back; asking again is harmless, each carries all that its sender knows;
//   - each fetches every contribution as soon as it hears of it: P (P - 1) times 4 N bytes in all;
//   - the lowest peer that is ready, the decider, says whose contributions count: those that it holds. Who
//     lacks one of them fetches it from its owner or from the decider;
//   - whoever holds all of them is done: each adds them up in the order of peers, so all get the same bits.
// A member's first contribution stands, and is left out where it cannot be had within fetch_ns. A member that
// dies is left out: found by a call that fails, or after answer_ns of silence; whomever we wait for is asked
// again and again. When the decider dies, the next lowest decides, but asks all others first:
// one may have heard the decision. Should two decide (a decider that was slow, not dead), TrunkVersion's
// order says which trunk stays, and the others catch up.
//
// Who is behind but on its way here is waited for, lest it always come a round too late; late() are those for
// whom that was in vain. It is for the driver not to have the next rounds wait for them (unawaited). Who has
// taken its last step is not waited for either, but told of the end: what it hands out stays new.
//
// Who hears of a fresher trunk that it cannot pull (ahead) decides with others, but never alone: what one
// alone would number on beside the others would set its trunk over theirs in the end. One thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "agora/base/loop.h"
#include "agora/swarm/averaging/news.h"

namespace agora::swarm {

struct RoundConfig {
  int64_t answer_ns = 600 * base::kMillisecondNs;  // silence after which a member is dead
  int64_t gather_ns = 8 * base::kSecondNs;         // for members that live but are still in their step;
                                                   // who pulls its trunk first has pull_ns besides
  int64_t fetch_ns = 20 * base::kSecondNs;         // of one fetch; the driver's deadline is the same
  int64_t pull_ns = 20 * base::kSecondNs;          // of a trunk, with its momentum; likewise
  int64_t poll_ns = 200 * base::kMillisecondNs;    // between two questions to one who has not decided
  int fetches_max = 3;                             // of one contribution, from whomever
};

// A long trunk, of so many numbers, takes longer to fetch.
RoundConfig for_trunk(RoundConfig config, size_t numbers);
// So long after its beginning a round is decided at the latest, also where one is waited for that pulls its
// trunk, and then for its contribution.
int64_t round_ns_max(const RoundConfig& config);

struct RoundAction {
  enum class Kind : uint8_t {
    tell,      // send our news to `peer` and bring its answer under `number`
    fetch,     // the contribution `hash` from `peer`
    finish,    // average `decision`; all of it has been fetched
    catch_up,  // `peer` has a fresher trunk: pull it; this round is over
  };
  Kind kind;
  peers::PeerId peer = {};
  uint64_t number = 0;
  weights::Digest hash = {};
  Decision decision = {};
};

class Round {
 public:
  // others: trainers that may take part, without self; beyond kContributorsMax - 1 they are left out. Of the
  // unawaited what is there counts.
  Round(const RoundConfig& config, const peers::PeerId& self, const TrunkVersion& base,
        const Contribution& own, const std::vector<peers::PeerId>& others, int64_t now_ns,
        std::set<peers::PeerId> unawaited = {});

  // It told us. in_reach: whether its trunk could be pulled if it is fresher than ours.
  void on_news(const peers::PeerId& from, const News& news, bool in_reach, int64_t now_ns);
  void on_answer(const peers::PeerId& from, uint64_t number, const News& news, bool in_reach, int64_t now_ns);
  void on_fetched(const weights::Digest& hash, const peers::PeerId& from, bool ok, int64_t now_ns);
  void on_lost(const peers::PeerId& peer, int64_t now_ns);  // a call failed, or its record has gone
  void on_time(int64_t now_ns);

  std::vector<RoundAction> take_actions() { return std::exchange(actions_, {}); }
  int64_t wake_ns() const { return wake_ns_; }  // INT64_MAX: nothing to wait for
  bool over() const { return over_; }
  // Of this round; the version goes with it.
  const std::optional<Decision>& decision() const { return decision_; }
  const Contribution& own() const { return own_; }
  const std::set<peers::PeerId>& late() const { return late_; }

 private:
  enum class Standing : uint8_t {
    unknown,  // not heard of
    busy,     // lives, will contribute; it may have to pull the trunk first
    ready,    // has told its contribution
    ahead,    // has a fresher trunk, which cannot be had
    resting,  // lives, and will contribute nothing: it has taken its last step
    out,      // dead, behind, or too slow
  };
  struct Member {
    Standing standing = Standing::unknown;
    Contribution contribution;  // ready
    int64_t ready_ns = 0;       // since when; 0: never
    bool was_behind = false;
    int64_t asked_ns = 0;  // when the question that waits for an answer was sent; 0: none waits
    int64_t next_ask_ns = 0;
    uint64_t number = 0;    // of the last question
    uint64_t answered = 0;  // the last question that it answered
  };
  struct Fetch {
    bool here = false;
    bool under_way = false;
    int64_t since_ns = 0;
    int tries = 0;
    peers::PeerId from;
  };

  void hear(const peers::PeerId& from, const News& news, bool in_reach);
  void hear_decision(const Decision& decision);
  void ask(const peers::PeerId& peer, Member& member);
  void poll(const peers::PeerId& peer, Member& member);
  void leave_out(const peers::PeerId& peer);
  void expire();
  bool is_late(const Member& member) const;
  bool is_awaited(const peers::PeerId& peer, const Member& member) const;
  std::optional<peers::PeerId> source_of(const Contribution& contribution, const Fetch& fetch) const;
  bool fetch(const Contribution& contribution);
  bool is_here(const Contribution& contribution) const;
  void advance();
  void gather();
  bool takes_part(const Member& member) const;
  peers::PeerId decider() const;
  bool waits_alone() const;
  bool others_are_checked();
  void decide();
  void follow_decision();
  void catch_up(const peers::PeerId& from);
  void set_wake();

  RoundConfig config_;
  peers::PeerId self_;
  TrunkVersion base_;
  Contribution own_;
  int64_t begin_ns_;
  int64_t now_ns_;
  int64_t wake_ns_ = INT64_MAX;
  std::map<peers::PeerId, Member> members_;  // without self
  std::map<weights::Digest, Fetch> fetches_;
  std::optional<Decision> decision_;
  // One who might have decided was lost after the question of this number.
  std::optional<uint64_t> lost_after_;
  const std::set<peers::PeerId> unawaited_;
  std::set<peers::PeerId> late_;
  bool over_ = false;
  uint64_t last_number_ = 0;
  std::vector<RoundAction> actions_;
};

}  // namespace agora::swarm
