#include "agora/sim/checkers/checkers.h"

#include <malloc.h>

#include <limits>
#include <memory>

#include "agora/sim/checkers/answers.h"
#include "agora/sim/checkers/swarm_state.h"
#include "agora/sim/checkers/updates.h"
#include <gtest/gtest.h>

namespace agora::sim {
namespace {

TEST(Checkers, NeedACalmInWhichTheyJudge) {
  Scenario scenario;
  scenario.deadline_s = 10;
  scenario.calm_s = 69;
  EXPECT_TRUE(absl::IsInvalidArgument(long_enough(scenario)));
  scenario.calm_s = 70;
  EXPECT_TRUE(long_enough(scenario).ok());
}

// Peer 1 leads and takes an update, peer 2 follows.
class LossWindowKeptTest : public testing::Test {
 protected:
  static constexpr swarm::ExpertName kExpert{LayerId{0}, ExpertId{3}};

  LossWindowKeptTest() {
    role(0, 1, RoleFact::Kind::adopted, 1);
    role(0, 1, RoleFact::Kind::led, 1);
    role(0, 2, RoleFact::Kind::adopted, 1);
    UpdateFact update;
    update.at_ns = 20 * kSecondNs;
    update.peer = 1;
    update.expert = kExpert;
    update.key.step = 1;
    update.taken = true;
    tell(&History::on_update, update);
  }
  void role(int64_t at_s, PeerNumber peer, RoleFact::Kind kind, uint32_t epoch) {
    RoleFact fact;
    fact.at_ns = at_s * kSecondNs;
    fact.peer = peer;
    fact.kind = kind;
    fact.expert = kExpert;
    fact.epoch = epoch;
    tell(&History::on_role, fact);
  }
  template <class Fact>
  void tell(void (History::*how)(const Fact&), const Fact& fact) {
    (checker.*how)(fact);
    (lines.*how)(fact);
  }

  Lines lines;
  Verdict verdict;
  LossWindowKept checker{lines, 10 * kSecondNs, false, verdict};
};

TEST_F(LossWindowKeptTest, ALeaderThatLetsGoHasHandedOver) {
  role(40, 1, RoleFact::Kind::dropped, 1);
  EXPECT_TRUE(verdict.ok());
  role(42, 2, RoleFact::Kind::led, 2);
  EXPECT_EQ(verdict.count(), 1u);
}

TEST_F(LossWindowKeptTest, AFollowerMayLetGo) {
  role(40, 2, RoleFact::Kind::dropped, 1);
  role(42, 2, RoleFact::Kind::adopted, 1);
  EXPECT_TRUE(verdict.ok());
}

TEST_F(LossWindowKeptTest, ADiskOfALaterEpochWinsOverWhatWasBegunAnew) {
  role(40, 3, RoleFact::Kind::restored, 4);
  role(46, 3, RoleFact::Kind::led, 5);
  EXPECT_TRUE(verdict.ok());
}

TEST_F(LossWindowKeptTest, ADiskOfTheSameEpochDoesNot) {
  role(40, 3, RoleFact::Kind::restored, 1);
  role(46, 3, RoleFact::Kind::led, 2);
  EXPECT_EQ(verdict.count(), 1u);
}

TEST(NothingWaits, AGradientEndsByItsDeadline) {
  Verdict verdict;
  NothingWaits checker(10 * kSecondNs, verdict);
  GradientFact fact;
  fact.sent_ns = 100 * kSecondNs;
  fact.at_ns = 111 * kSecondNs;
  checker.on_gradient(fact);
  EXPECT_TRUE(verdict.ok());
  fact.at_ns = 113 * kSecondNs;
  checker.on_gradient(fact);
  EXPECT_EQ(verdict.count(), 1u);
}

class InCalmTest : public testing::Test {
 protected:
  InCalmTest() { checker.on_calm(0); }
  static constexpr int64_t kSettledNs = 100 * kSecondNs;

  Verdict verdict;
  NothingWaits checker{10 * kSecondNs, verdict};
};

TEST_F(InCalmTest, EveryGradientIsTaken) {
  GradientFact fact;
  fact.sent_ns = fact.at_ns = kSettledNs;
  checker.on_gradient(fact);
  EXPECT_TRUE(verdict.ok());
  fact.refused = 1;
  checker.on_gradient(fact);
  EXPECT_EQ(verdict.count(), 1u);
}

TEST_F(InCalmTest, TheExpertsChosenAnswer) {
  std::vector<swarm::ServedChoice> served(2);
  for (swarm::ServedChoice& choice : served) choice.by = swarm::ServedBy::hedge;
  AnswerFact fact;
  fact.asked_ns = fact.at_ns = kSettledNs;
  fact.served = served;
  checker.on_answer(fact);
  EXPECT_TRUE(verdict.ok());
  served[1].by = swarm::ServedBy::next_expert;
  checker.on_answer(fact);
  EXPECT_EQ(verdict.count(), 1u);
}

// One choice of one token, of which a host computed 2.
TEST(AnswersAddUp, NoOtherNumberWillDo) {
  History silent;
  World world({.seed = 3, .spec = small_spec(1, 4, 1)}, silent);
  Peer& host = world.add_host({});
  const moe::Route route{.first = {0, 1}, .expert = {0}, .weight = {1.0f}};
  const std::vector<uint8_t> arrived{1};
  const std::vector<uint64_t> version{7};
  const std::vector<float> x(8, 1.0f), two(8, 2.0f);
  ComputedFact computed;
  computed.peer = host.number();
  computed.route = &route;
  computed.x = {x.data(), 1, 8};
  computed.entries = {two.data(), 1, 8};
  computed.arrived = arrived;
  computed.version = version;
  const std::vector<swarm::ServedChoice> served{
      {.by = swarm::ServedBy::replica, .expert = ExpertId{0}, .host = host.id(), .version = 7}};
  for (const float answer :
       {2.0f, 2.5f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    Verdict verdict;
    AnswersAddUp checker(world, verdict);
    checker.on_computed(computed);
    const std::vector<float> y(8, answer);
    AnswerFact fact;
    fact.route = &route;
    fact.x = computed.x;
    fact.y = {y.data(), 1, 8};
    fact.arrived = arrived;
    fact.served = served;
    fact.mass = 1;
    checker.on_answer(fact);
    EXPECT_EQ(verdict.ok(), answer == 2.0f) << answer;
  }
}

TEST(QueuesBounded, CountsTheCallsThatWait) {
  History silent;
  World world({.seed = 3, .spec = small_spec(1, 4, 1)}, silent);
  Peer& host = world.add_host({.times = {.row_ns = 5 * kMillisecondNs}});
  host.start();
  world.run_for(15 * kSecondNs);
  world.add_gate({.callers = 100}).start();
  world.run_for(2 * kSecondNs);
  Verdict verdict;
  QueuesBounded checker(verdict);
  checker.look(world);
  EXPECT_TRUE(verdict.ok());
  world.settings_of(host).service.queue.calls_max = 2;  // as if the host had taken more than it may
  checker.look(world);
  EXPECT_EQ(verdict.count(), 1u);
  EXPECT_TRUE(world.stop_gates(30 * kSecondNs));
}

TEST(MemoryBounded, CountsWhatIsMappedByItself) {
  if (mallinfo2().uordblks == 0) GTEST_SKIP() << "another allocator, as sanitizers have";
  History silent;
  World world({.spec = small_spec(1, 4, 1)}, silent);
  world.add_host({});
  Verdict verdict;
  MemoryBounded checker(verdict);
  checker.look(world);
  EXPECT_TRUE(verdict.ok());
  const std::vector<char> large(size_t{64} << 20, 1);
  checker.look(world);
  EXPECT_EQ(verdict.count(), 1u) << large.size();
}

}  // namespace
}  // namespace agora::sim
