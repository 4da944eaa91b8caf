#include "agora/swarm/averaging/round.h"

#include <algorithm>
#include <array>
#include <memory>
#include <set>

#include "agora/base/rng.h"
#include "agora/base/virtual_loop.h"
#include "agora/swarm/averaging/trainers_at_hand.h"
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace agora::swarm {
namespace {

using Kind = RoundAction::Kind;

// Rounds that talk over a network with delays and duplicates, and die.
class Village {
 public:
  static constexpr int kTellsMax = 3000;

  struct Faults {
    int64_t delay_max_ns = 20 * kMillisecondNs;
    double duplicate = 0;
    bool silent_death = false;  // nobody is told: calls to the dead hang
  };

  Village(size_t members, Faults faults, uint64_t seed) : faults_(faults), rng_(seed), peers_(members) {
    for (size_t i = 0; i < members; ++i) peers_[i].held.insert(contribution_of(i).hash);
  }

  void start_at(size_t i, int64_t when_ns) {
    loop_.at(when_ns, [this, i] { start(i); });
  }
  void die_at(size_t i, int64_t when_ns) {
    loop_.at(when_ns, [this, i] { peers_[i].alive = false; });
  }
  void run_for(int64_t duration_ns) { loop_.run_for(duration_ns); }

  bool alive(size_t i) const { return peers_[i].alive; }
  const TrunkVersion& version(size_t i) const { return peers_[i].version; }
  const std::optional<Decision>& last(size_t i) const { return peers_[i].last; }
  int64_t finished_ns(size_t i) const { return peers_[i].finished_ns; }
  int tells() const { return tells_; }

 private:
  struct Peer {
    bool alive = true;
    std::unique_ptr<Round> round;
    TrunkVersion version, last_base;
    std::optional<Decision> last;
    std::set<weights::Digest> held;
    int64_t finished_ns = 0;
  };

  void start(size_t i) {
    Peer& self = peers_[i];
    if (!self.alive || self.version.round > 0) return;
    std::vector<peers::PeerId> others;
    for (size_t j = 0; j < peers_.size(); ++j) {
      if (j != i) others.push_back(peer_of(j));
    }
    self.round = std::make_unique<Round>(RoundConfig{}, peer_of(i), self.version, contribution_of(i), others,
                                         loop_.now_ns());
    act(i);
  }

  size_t index_of(const peers::PeerId& peer) const { return static_cast<size_t>(peer.bytes[0]) - 1; }

  News news_of(size_t i) const {
    const Peer& self = peers_[i];
    News news{
        .version = self.version, .ready = {}, .decided = {}, .last = self.last, .last_base = self.last_base};
    if (self.round != nullptr && !self.round->over()) {
      news.ready = self.round->own();
      news.decided = self.round->decision();
    }
    return news;
  }

  // Runs `arrive` at `to` after a delay, perhaps twice; never if it is dead.
  void send(size_t to, const std::function<void()>& arrive) {
    const int copies = rng_.uniform_double() < faults_.duplicate ? 2 : 1;
    for (int copy = 0; copy < copies; ++copy) {
      const auto delay =
          static_cast<int64_t>(rng_.uniform_double() * static_cast<double>(faults_.delay_max_ns));
      loop_.after(delay, [this, to, arrive] {
        if (peers_[to].alive) arrive();
      });
    }
  }

  void lose_call(size_t from, size_t to) {
    if (faults_.silent_death) return;
    loop_.after(kMillisecondNs, [this, from, to] {
      if (!running(from)) return;
      peers_[from].round->on_lost(peer_of(to), loop_.now_ns());
      act(from);
    });
  }

  bool running(size_t i) const {
    return peers_[i].alive && peers_[i].round != nullptr && !peers_[i].round->over();
  }

  // No more than kTellsMax, so that what would go on for ever fails.
  void tell(size_t i, size_t to, uint64_t number) {
    if (++tells_ > kTellsMax) return;
    if (!peers_[to].alive) return lose_call(i, to);
    const News news = news_of(i);
    send(to, [this, i, to, number, news] {
      if (running(to)) {
        peers_[to].round->on_news(peer_of(i), news, true, loop_.now_ns());
        act(to);
      }
      const News answer = news_of(to);
      send(i, [this, i, to, number, answer] {
        if (!running(i)) return;
        peers_[i].round->on_answer(peer_of(to), number, answer, true, loop_.now_ns());
        act(i);
      });
    });
  }

  void fetch(size_t i, size_t from, const weights::Digest& hash) {
    const auto report = [this, i, from, hash](bool ok) {
      if (ok) peers_[i].held.insert(hash);
      if (!running(i)) return;
      peers_[i].round->on_fetched(hash, peer_of(from), ok, loop_.now_ns());
      act(i);
    };
    if (!peers_[from].alive) {
      loop_.after(faults_.silent_death ? RoundConfig{}.fetch_ns : kMillisecondNs,
                  [report] { report(false); });
      return;
    }
    send(from, [this, i, from, hash, report] {
      const bool held = peers_[from].held.contains(hash);
      send(i, [report, held] { report(held); });
    });
  }

  void take_over(Peer& self, const TrunkVersion& version, const std::optional<Decision>& decision,
                 const TrunkVersion& base) {
    self.version = version;
    self.last = decision;
    self.last_base = base;
    self.finished_ns = loop_.now_ns();
  }

  void act(size_t i) {
    Peer& self = peers_[i];
    for (const RoundAction& action : self.round->take_actions()) {
      const size_t other = index_of(action.peer);
      if (action.kind == Kind::tell) tell(i, other, action.number);
      if (action.kind == Kind::fetch) fetch(i, other, action.hash);
      if (action.kind == Kind::finish) {
        for (const Contribution& c : action.decision.counted) EXPECT_TRUE(self.held.contains(c.hash));
        take_over(self, version_after(self.version, action.decision), action.decision, self.version);
      }
      if (action.kind == Kind::catch_up) catch_up(i, other);
    }
    const int64_t wake = self.round->wake_ns();
    if (self.round->over() || wake == INT64_MAX) return;
    Round* round = self.round.get();
    loop_.at(wake, [this, i, round] {
      if (!running(i) || peers_[i].round.get() != round || round->wake_ns() > loop_.now_ns()) return;
      round->on_time(loop_.now_ns());
      act(i);
    });
  }

  void catch_up(size_t i, size_t from) {
    loop_.after(50 * kMillisecondNs, [this, i, from] {
      const Peer& theirs = peers_[from];
      if (!theirs.alive || theirs.version <= peers_[i].version) return start(i);
      take_over(peers_[i], theirs.version, theirs.last, theirs.last_base);
    });
  }

  Faults faults_;
  Rng rng_;
  base::VirtualLoop loop_;
  std::vector<Peer> peers_;
  int tells_ = 0;
};

TEST(Round, WhoIsAloneDecidesAtOnce) {
  Round round(RoundConfig{}, peer_of(0), {}, contribution_of(0), {}, 5);
  const auto actions = round.take_actions();
  ASSERT_EQ(actions.size(), 1u);
  EXPECT_EQ(actions[0].kind, Kind::finish);
  EXPECT_EQ(actions[0].decision, (Decision{peer_of(0), {contribution_of(0)}}));
  EXPECT_TRUE(round.over());
}

TEST(Round, AllWhoLiveCount) {
  Village village(4, {}, 1);
  for (size_t i = 0; i < 4; ++i) village.start_at(i, static_cast<int64_t>(i) * 300 * kMillisecondNs);
  village.run_for(3 * kSecondNs);
  for (size_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(village.last(i));
    EXPECT_EQ(village.last(i)->counted.size(), 4u);
    EXPECT_EQ(village.last(i), village.last(0));
    EXPECT_LT(village.finished_ns(i), 1100 * kMillisecondNs);  // the last one came at 900 ms
  }
}

TEST(Round, OneThatFallsSilentCostsTheOthersLessThanTwoSeconds) {
  for (size_t dead = 0; dead < 3; ++dead) {
    for (int64_t when = 0; when < 60; when += 5) {
      Village village(3, {.silent_death = true}, 7);
      for (size_t i = 0; i < 3; ++i) village.start_at(i, 0);
      village.die_at(dead, when * kMillisecondNs);
      village.run_for(10 * kSecondNs);
      for (size_t i = 0; i < 3; ++i) {
        if (i == dead) continue;
        EXPECT_EQ(village.version(i).round, 1u);
        EXPECT_EQ(village.last(i), village.last(dead == 0 ? 1 : 0));
        EXPECT_LT(village.finished_ns(i), (when + 2000) * kMillisecondNs) << dead << " at " << when;
      }
    }
  }
}

TEST(Round, WhoIsBehindCatchesUp) {
  Round round(RoundConfig{}, peer_of(0), {}, contribution_of(0), {peer_of(1)}, 0);
  round.take_actions();
  round.on_news(peer_of(1),
                {.version = {2, 3, peer_of(4)}, .ready = {}, .decided = {}, .last = {}, .last_base = {}},
                true, 1);
  const auto actions = round.take_actions();
  ASSERT_EQ(actions.size(), 1u);
  EXPECT_EQ(actions[0].kind, Kind::catch_up);
  EXPECT_EQ(actions[0].peer, peer_of(1));
}

TEST(Round, WhoHearsTheDecisionLateFollowsIt) {
  Round round(RoundConfig{}, peer_of(2), {}, contribution_of(2), {peer_of(0), peer_of(1)}, 0);
  round.take_actions();
  const Decision decision{peer_of(0), {contribution_of(0), contribution_of(1)}};  // without us
  round.on_news(
      peer_of(0),
      {.version = {1, 2, peer_of(0)}, .ready = {}, .decided = {}, .last = decision, .last_base = {}}, true,
      1);
  auto actions = round.take_actions();
  ASSERT_EQ(std::ranges::count(actions, Kind::fetch, &RoundAction::kind), 2);
  round.on_fetched(contribution_of(0).hash, peer_of(0), true, 2);
  round.on_fetched(contribution_of(1).hash, peer_of(1), true, 3);
  actions = round.take_actions();
  ASSERT_FALSE(actions.empty());
  EXPECT_EQ(actions[0].kind, Kind::finish);
  EXPECT_EQ(actions[0].decision, decision);
}

// It was asked for a decision that it might know, and died; then a late message of it came. Whoever asked
// waited for its answer for ever (one in 200,000 random cases; the times are that one's).
TEST(Round, ALateMessageOfTheDeadKeepsNobodyWaiting) {
  Village village(5, {.delay_max_ns = 77 * kMillisecondNs, .duplicate = 0.2}, 5487594045654033u);
  constexpr std::array<int64_t, 5> kStarts = {1, 557, 390, 1394, 643};
  for (size_t i = 0; i < kStarts.size(); ++i) village.start_at(i, kStarts[i] * kMillisecondNs);
  village.die_at(0, 434 * kMillisecondNs);
  village.die_at(1, 1138 * kMillisecondNs);
  village.die_at(3, 1512 * kMillisecondNs);
  village.run_for(4 * kSecondNs);
  EXPECT_EQ(village.version(2).round, 1u);
  EXPECT_EQ(village.version(4).round, 1u);
}

// One that dies costs the others less than two seconds; of more that die, each is waited for after the other
// at the worst.
RC_GTEST_PROP(Round, SurvivorsAgreeWhoeverDiesWhenever, ()) {
  const auto members = *rc::gen::inRange<size_t>(1, 9);
  const auto deaths = *rc::gen::inRange<size_t>(0, members);
  Village::Faults faults{.delay_max_ns = *rc::gen::inRange<int64_t>(0, 100) * kMillisecondNs,
                         .duplicate = 0.2,
                         .silent_death = *rc::gen::arbitrary<bool>()};
  Village village(members, faults, *rc::gen::arbitrary<uint64_t>());
  int64_t last_ns = 0;
  for (size_t i = 0; i < members; ++i) {
    const int64_t when = *rc::gen::inRange<int64_t>(1, 2000) * kMillisecondNs;  // 0 is no time to a Round
    village.start_at(i, when);
    last_ns = std::max(last_ns, when);
  }
  for (size_t i = 0; i < deaths; ++i) {
    const auto who = *rc::gen::inRange<size_t>(0, members);
    const int64_t when = *rc::gen::inRange<int64_t>(0, 3000) * kMillisecondNs;
    village.die_at(who, when);
    last_ns = std::max(last_ns, when);
  }
  village.run_for(60 * kSecondNs);
  int64_t dead = 0;
  for (size_t i = 0; i < members; ++i) dead += village.alive(i) ? 0 : 1;
  const RoundConfig config;
  const int64_t noticed_ns = config.answer_ns + config.poll_ns + 2 * faults.delay_max_ns;
  const int64_t cost_ns = 2 * kSecondNs + std::max<int64_t>(0, dead - 1) * noticed_ns;
  std::optional<size_t> first;
  for (size_t i = 0; i < members; ++i) {
    if (!village.alive(i)) continue;
    if (!first) first = i;
    RC_ASSERT(village.version(i).round == 1u);
    RC_ASSERT(village.last(i) == village.last(*first));
    RC_ASSERT(village.finished_ns(i) < last_ns + cost_ns);
  }
  RC_ASSERT(village.tells() < Village::kTellsMax);
}

}  // namespace
}  // namespace agora::swarm
