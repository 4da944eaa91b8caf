// Trainers of a swarm: alone and together, with somebody dying, with somebody coming late.
#include "agora/base/test_folder.h"
#include "agora/swarm/trunk_exchange.h"
#include "agora/train/counting_text.h"
#include "agora/train/trainer_file.h"
#include <gtest/gtest.h>

#include "tests/small_options.h"
#include "tests/swarm/trainers_in_process.h"

namespace agora::tests {
namespace {

class SwarmTraining : public testing::Test {
 protected:
  SwarmTraining() { options_.micro_batches = 2; }

  train::CountingText text_;
  train::TrainOptions options_ = small_options(text_.file());
};

size_t trunk_numbers(TrainersInProcess& swarm) {
  model::Model& trunk = swarm.trainer(0).model();
  return swarm::TrunkLayout(trunk.parameters(), trunk.selection_biases()).size();
}

TEST_F(SwarmTraining, OneTrainerLearns) {
  TrainersInProcess swarm(options_, {.trainers = 1});
  const double before = swarm.validation_loss(0);
  swarm.run(60);
  EXPECT_LT(swarm.validation_loss(0), before - 0.3);
  EXPECT_EQ(swarm.last(0).choices_arrived, swarm.last(0).choices);
  EXPECT_EQ(swarm.last(0).mix.lost, 0u);
  EXPECT_GE(swarm.last(0).trunk.round, 4u);
}

// Every layer of every micro-batch under way has a forward whose backward is still to come.
TEST_F(SwarmTraining, ADeepModelLearnsInManyMicroBatches) {
  options_.layers = 70;  // a host's record tells of no more than a hundred
  options_.width = options_.hidden = options_.sequence = 8;
  options_.experts = 2;
  options_.batch = options_.micro_batches = 16;
  TrainersInProcess swarm(options_, {.hosts = 2, .trainers = 1, .in_flight_max = 16});
  swarm.run(1);
  EXPECT_EQ(swarm.last(0).backwards_failed, 0u);
  EXPECT_EQ(swarm.last(0).mix.gradients_lost, 0u);
}

TEST_F(SwarmTraining, AfterTheLastStepATrainerSaysThatItRests) {
  options_.steps = 3;
  TrainersInProcess swarm(options_, {.trainers = 1});
  swarm::PeerState state;
  swarm.run(2);
  swarm.trainer(0).describe(state);
  EXPECT_GT(state.rows_per_s, 0);
  swarm.run(1);
  swarm.trainer(0).describe(state);
  EXPECT_EQ(state.step, 3u);
  EXPECT_EQ(state.rows_per_s, 0);
}

// Rounds are further apart than the whole run is long.
TEST_F(SwarmTraining, WhatTheLastStepsTaughtIsHandedOut) {
  options_.average_every = 100;
  options_.steps = 12;
  TrainersInProcess swarm(options_, {.trainers = 1});
  swarm.run(12);
  EXPECT_EQ(swarm.trainer(0).averaging().version.round, 0u);
  const Status settled = swarm.trainer(0).settle(20 * base::kSecondNs);
  ASSERT_TRUE(settled.ok()) << settled;
  const auto asker = swarm.hosts().make_transport();
  const auto trunk =
      swarm::fetch_trunk_now(*asker, swarm::trunk_sources(swarm.hosts().directory().records()),
                             swarm::TrunkPart::values, trunk_numbers(swarm), swarm.hosts().loop());
  ASSERT_TRUE(trunk.ok()) << trunk.status();
  EXPECT_EQ(trunk->version.round, 1u);
  EXPECT_EQ(trunk->step, 12u);
  asker->stop();
}

// The others' rounds may take long, and whoever waits for them may be killed.
TEST_F(SwarmTraining, WhatTheLastStepsTaughtIsKeptBeforeOthersAreWaitedFor) {
  options_.average_every = 100;
  options_.steps = 12;
  const base::TestFolder folder;
  TrainersInProcess swarm(options_, {.trainers = 1, .own_file = folder.path("trainer")});
  swarm.run(12);
  EXPECT_TRUE(absl::IsDeadlineExceeded(swarm.trainer(0).settle(0)));
  const auto kept = train::read_trainer_file(folder.path("trainer"));
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_EQ(kept->state.step, 12);
  EXPECT_EQ(kept->steps, 12u) << "that are in no trunk yet";
}

// By 70 kB/s, as all that is fetched.
TEST_F(SwarmTraining, ALongTrunkIsWaitedForLonger) {
  options_.width = 1024;
  options_.layers = 1;
  TrainersInProcess swarm(options_, {.trainers = 1});
  const int64_t pull_ns = swarm::blob_ns_max(2 * sizeof(float) * trunk_numbers(swarm));
  EXPECT_GE(pull_ns, 120 * base::kSecondNs);
  EXPECT_GE(swarm.trainer(0).settle_ns_max(), 2 * pull_ns) << "a round that is under way, and the next one";
  EXPECT_GE(swarm.trainer(0).hand_on_ns_max(), 2 * pull_ns);
}

// A server has an older one, until it has pulled the last.
TEST_F(SwarmTraining, WhoGoesWaitsUntilAnotherHasItsTrunk) {
  options_.steps = 3;
  TrainersInProcess swarm(options_, {.trainers = 1});
  swarm.run(3);
  train::SwarmTrainer& trainer = swarm.trainer(0);
  ASSERT_TRUE(trainer.settle(20 * base::kSecondNs).ok());
  EXPECT_TRUE(trainer.hand_on(0).ok()) << "nobody is there";
  const swarm::TrunkVersion last = trainer.averaging().version;
  const auto server = swarm.hosts().make_transport();
  swarm::PeerState state{.server = true, .trunk_version = last.round, .trunk_rows = last.rows - 1};
  swarm.hosts().directory().say(server->self(), server->endpoint(), state);
  EXPECT_TRUE(absl::IsDeadlineExceeded(trainer.hand_on(0)));
  state.trunk_rows = last.rows;
  swarm.hosts().directory().say(server->self(), server->endpoint(), state);
  EXPECT_TRUE(trainer.hand_on(0).ok());
  server->stop();
}

TEST_F(SwarmTraining, TwoTrainersLearnAndHaveOneTrunk) {
  TrainersInProcess swarm(options_, {.trainers = 2});
  const double before = swarm.validation_loss(0);
  swarm.run(60);
  EXPECT_LT(swarm.validation_loss(0), before - 0.3);
  EXPECT_LT(swarm.validation_loss(1), before - 0.3);
  EXPECT_GE(swarm.trainer(0).averaging().rounds, 3u);
  EXPECT_EQ(swarm.trainer(0).averaging().members, 2u);
  EXPECT_EQ(swarm.trainer(0).averaging().refused, 0u);
  EXPECT_NE(swarm.trainer(0).state().cursor, swarm.trainer(1).state().cursor);
}

TEST_F(SwarmTraining, WhoDiesIsNotWaitedFor) {
  TrainersInProcess swarm(options_, {.trainers = 2});
  swarm.run(25);
  swarm.stop(1);
  const uint64_t round = swarm.trainer(0).averaging().version.round;
  // A round that was open waits for the dead one for its time, however many steps that is.
  const auto rounds = [&] { return swarm.trainer(0).averaging().version.round - round; };
  for (int i = 0; i < 1000 && rounds() < 2; ++i) swarm.run(10);
  EXPECT_GE(rounds(), 2u);
  EXPECT_EQ(swarm.trainer(0).averaging().members, 1u);
}

TEST_F(SwarmTraining, WhoComesLateBeginsWithTheOthersTrunk) {
  TrainersInProcess swarm(options_, {.trainers = 1});
  swarm.run(45);
  const double trained = swarm.validation_loss(0);
  const size_t late = swarm.add_trainer();
  EXPECT_GE(swarm.trainer(late).state().step, 30);
  EXPECT_LT(swarm.validation_loss(late), trained + 0.3);
  swarm.run(25);
  EXPECT_EQ(swarm.trainer(late).averaging().members, 2u);
}

// The others' steps say nothing of this one's speed.
TEST_F(SwarmTraining, WhoComesLatePlansByItsOwnSteps) {
  options_.steps = 0;
  options_.warmup = 30;
  TrainersInProcess swarm(options_, {.trainers = 1});
  swarm.run(45);
  EXPECT_TRUE(swarm.trainer(0).needs_plan());
  const size_t late = swarm.add_trainer();
  EXPECT_GE(swarm.trainer(late).state().step, 30);
  EXPECT_FALSE(swarm.trainer(late).needs_plan());
  swarm.run(25);
  EXPECT_TRUE(swarm.trainer(late).needs_plan());
}

// A server has the trunk; the dead trainer's record is still there, and says that it has a newer one.
TEST_F(SwarmTraining, WhatTheOnlyTrainerLearnedOutlivesIt) {
  TrainersInProcess swarm(options_, {.trainers = 1});
  swarm.run(45);
  const double trained = swarm.validation_loss(0);
  const auto server = swarm.hosts().make_transport();
  swarm::TrunkShelf shelf(swarm.hosts().loop());
  shelf.serve(*server);
  auto trunk = swarm::fetch_trunk_now(*server, swarm::trunk_sources(swarm.hosts().directory().records()),
                                      swarm::TrunkPart::values, trunk_numbers(swarm), swarm.hosts().loop());
  ASSERT_TRUE(trunk.ok()) << trunk.status();
  const uint64_t round = trunk->version.round;
  shelf.put(*std::move(trunk));
  const auto dead = swarm.hosts().make_transport();
  dead->stop();
  swarm.stop(0);
  swarm.hosts().directory().say(dead->self(), dead->endpoint(),
                                {.trainer = true, .trunk_version = round + 1});
  swarm.hosts().directory().say(server->self(), server->endpoint(), {.server = true, .trunk_version = round});
  const size_t next = swarm.add_trainer();
  EXPECT_EQ(swarm.trainer(next).averaging().version.round, round);
  EXPECT_GE(swarm.trainer(next).state().step, 30);
  EXPECT_LT(swarm.validation_loss(next), trained + 0.3);
  swarm.run(25);
  EXPECT_GT(swarm.trainer(next).averaging().version.round, round);
  EXPECT_EQ(swarm.trainer(next).averaging().members, 1u);
  server->stop();
}

// Hands out trunks of its own making, and says that they are fresher than all others.
class Boaster {
 public:
  Boaster(TrainersInProcess& swarm, swarm::TrunkSnapshot trunk)
      : transport_(swarm.hosts().make_transport()), shelf_(swarm.hosts().loop()) {
    shelf_.serve(*transport_);
    shelf_.put(std::move(trunk));
    swarm.hosts().directory().say(transport_->self(), transport_->endpoint(),
                                  {.trainer = true, .trunk_version = 1000, .trunk_rows = uint64_t{1} << 63});
  }
  ~Boaster() { transport_->stop(); }

 private:
  const std::unique_ptr<peers::Transport> transport_;
  swarm::TrunkShelf shelf_;
};

swarm::TrunkSnapshot another_models_trunk() {
  swarm::TrunkSnapshot trunk;
  trunk.version = {1000, 1, {}, uint64_t{1} << 63};
  trunk.values = {1};
  return trunk;
}

// It was asked again and again until the time was over, and nobody else.
TEST_F(SwarmTraining, WhoseTrunkIsOfNoUseKeepsNobodyOut) {
  TrainersInProcess swarm(options_, {.trainers = 1});
  swarm.run(45);
  const Boaster boaster(swarm, another_models_trunk());
  const size_t late = swarm.add_trainer();
  EXPECT_EQ(swarm.trainer(late).averaging().version, swarm.trainer(0).averaging().version);
  EXPECT_GE(swarm.trainer(late).state().step, 30);
  swarm.stop(0);
  swarm.stop(late);
  const size_t next = swarm.add_trainer();
  EXPECT_EQ(swarm.trainer(next).averaging().version.round, 0u) << "there is no other one";
}

// The record is not its trunk's.
TEST_F(SwarmTraining, AnOlderTrunkThanItsOwnIsNotTaken) {
  const base::TestFolder folder;
  TrainersInProcess swarm(options_, {.trainers = 1, .own_file = folder.path("trainer")});
  swarm.run(15);
  const swarm::TrunkLayout layout(swarm.trainer(0).model().parameters(),
                                  swarm.trainer(0).model().selection_biases());
  swarm::TrunkSnapshot older;
  older.version = {1, 1, {}, 1};
  older.layout = layout.digest();
  older.values = layout.values();
  swarm.run(30);
  ASSERT_TRUE(swarm.trainer(0).keep().ok());
  const swarm::TrunkVersion kept = swarm.trainer(0).averaging().version;
  swarm.stop(0);
  const Boaster boaster(swarm, std::move(older));
  const size_t back = swarm.add_trainer();
  EXPECT_EQ(swarm.trainer(back).averaging().version, kept);
}

// In a synchronous swarm every bit of a step follows from the trunk, its optimizer and the place in the data.
TEST_F(SwarmTraining, ATrainerThatComesBackGoesOnAsIfItHadNotEnded) {
  options_.micro_batches = 1;
  const base::TestFolder folder;
  const TrainersConfig config{
      .trainers = 1, .updates = swarm::UpdateMode::synchronous, .own_file = folder.path("trainer")};
  double loss = 0;
  {
    TrainersInProcess straight(options_, {.trainers = 1, .updates = config.updates});
    straight.run(24);
    loss = straight.last(0).loss;
  }
  TrainersInProcess swarm(options_, config);
  swarm.run(13);
  ASSERT_TRUE(swarm.trainer(0).keep().ok());
  swarm.stop(0);
  const size_t back = swarm.add_trainer();
  EXPECT_EQ(swarm.trainer(back).state().step, 13);
  swarm.run(11);
  EXPECT_EQ(swarm.last(back).loss, loss);
}

// While it waits for hosts: what it had drawn it has not learned from.
TEST_F(SwarmTraining, AStoppedTrainerGoesOnWithTheBatchThatItHadDrawn) {
  std::function<void()> on_batch;
  TrainersInProcess swarm(options_, {.hosts = 1, .trainers = 1, .on_batch = [&] {
                                       if (on_batch) on_batch();
                                     }});
  swarm.run(2);
  const Rng::State cursor = swarm.trainer(0).state().cursor;
  swarm.hosts().kill(0);
  swarm.hosts().forget(0);
  on_batch = [&] { swarm.trainer(0).stop(); };
  EXPECT_TRUE(absl::IsCancelled(swarm.trainer(0).step().status()));
  EXPECT_EQ(swarm.trainer(0).state().cursor, cursor);
}

// No trainer lives, nor a server: it is on the disk.
TEST_F(SwarmTraining, AKeptTrunkIsTakenWhenNobodyHasAFresherOne) {
  const base::TestFolder folder;
  const std::string file = folder.path("trainer");
  TrainersInProcess swarm(options_, {.trainers = 1, .own_file = file});
  swarm.run(45);
  ASSERT_TRUE(swarm.trainer(0).keep().ok());
  const double trained = swarm.validation_loss(0);
  const uint64_t round = swarm.trainer(0).averaging().version.round;
  const train::TrainState kept = swarm.trainer(0).state();
  swarm.stop(0);
  const size_t next = swarm.add_trainer();
  EXPECT_EQ(swarm.trainer(next).averaging().version.round, round);
  EXPECT_LT(swarm.validation_loss(next), trained + 0.3);
  EXPECT_EQ(swarm.trainer(next).state().cursor, kept.cursor);
  swarm.run(45);
  const size_t last = swarm.add_trainer();
  EXPECT_GT(swarm.trainer(last).averaging().version.round, round) << "the living one's is fresher";
  EXPECT_EQ(swarm.trainer(last).state().optimizer_steps, 45) << "its moments are its own";
  EXPECT_EQ(swarm.trainer(last).state().cursor, kept.cursor);
}

TEST_F(SwarmTraining, WhoComesBackAfterItsLastStepSaysHowManyItTook) {
  options_.steps = 3;
  const base::TestFolder folder;
  TrainersInProcess swarm(options_, {.trainers = 1, .own_file = folder.path("trainer")});
  swarm.run(3);
  ASSERT_TRUE(swarm.trainer(0).keep().ok());
  swarm.stop(0);
  swarm::PeerState state;
  swarm.trainer(swarm.add_trainer()).describe(state);
  EXPECT_EQ(state.step, 3u);
  EXPECT_EQ(state.rows_per_s, 0);
}

// Nobody averages there, but servers answer, and who saves the swarm asks.
TEST_F(SwarmTraining, ASynchronousTrainerHandsOutItsTrunkToo) {
  options_.average_every = 4;
  options_.steps = 10;
  TrainersInProcess swarm(options_, {.trainers = 1, .updates = swarm::UpdateMode::synchronous});
  const auto asker = swarm.hosts().make_transport();
  const auto fetch = [&] {
    return swarm::fetch_trunk_now(*asker, swarm::trunk_sources(swarm.hosts().directory().records()),
                                  swarm::TrunkPart::values, trunk_numbers(swarm), swarm.hosts().loop());
  };
  EXPECT_EQ(fetch().value().version.round, 0u);
  swarm.run(9);
  EXPECT_EQ(fetch().value().version.round, 2u);
  EXPECT_EQ(fetch().value().step, 8u);
  swarm.run(1);
  EXPECT_EQ(swarm.last(0).trunk.round, 3u) << "the last step's is handed out";
  const auto last = fetch();
  ASSERT_TRUE(last.ok()) << last.status();
  model::Model& trunk = swarm.trainer(0).model();
  EXPECT_EQ(last->values, swarm::TrunkLayout(trunk.parameters(), trunk.selection_biases()).values());
  asker->stop();
}

TEST_F(SwarmTraining, ALostHostCostsRowsNotTheRun) {
  TrainersInProcess swarm(options_, {.trainers = 1});
  swarm.run(5);
  swarm.hosts().kill(2);
  swarm.hosts().forget(2);
  swarm.run(5);
  EXPECT_LT(swarm.last(0).choices_arrived, swarm.last(0).choices);
  EXPECT_GT(swarm.last(0).mix.gate_mass_lost, 0);
  EXPECT_EQ(swarm.trainer(0).state().step, 10);
}

TEST_F(SwarmTraining, WithoutAnyHostAStepEndsWithAClearWord) {
  options_.warmup = 30;
  TrainersInProcess swarm(options_, {.trainers = 1});
  swarm.run(2);
  for (size_t host = 0; host < 4; ++host) swarm.hosts().kill(host);
  const auto report = swarm.trainer(0).step();
  ASSERT_FALSE(report.ok());
  EXPECT_TRUE(absl::IsUnavailable(report.status())) << report.status();
  EXPECT_EQ(swarm.trainer(0).state().step, 2);
}

}  // namespace
}  // namespace agora::tests
