#include "agora/sim/run.h"

#include "agora/sim/random_scenario.h"
#include "agora/swarm/trunk_exchange.h"
#include <gmock/gmock.h>

namespace agora::sim {
namespace {

Scenario chaos() {
  Scenario s;
  s.name = "chaos";
  s.hosts = 5;
  s.faults_s = 30;
  s.calm_s = 20;
  s.faults = {.loss = 0.2,
              .duplicate = 0.2,
              .reorder = 0.2,
              .replay = 0.3,
              .crash_every_s = 10,
              .gate_crash_every_s = 20,
              .freeze_every_s = 10,
              .partition_every_s = 10,
              .clog_every_s = 10,
              .slow_every_s = 10,
              .clock_jump_every_s = 10,
              .clock_drift_ppm = 300,
              .clock_offset_s = 600,
              .leave_every_s = 20,
              .dht_down_every_s = 20,
              .disk_full_every_s = 20,
              .disk_flip = 0.2,
              .disk_torn = 0.5,
              .off = 0.3};
  return s;
}

TEST(SimRun, TheSameSeedGivesTheSameBytes) {
  const std::string first = run_text(sim::Run(chaos(), 5).go());
  EXPECT_EQ(run_text(sim::Run(chaos(), 5).go()), first);
  EXPECT_NE(run_text(sim::Run(chaos(), 6).go()), first);
}

TEST(SimRun, WithoutFaultsNothingIsLost) {
  Scenario quiet;
  quiet.faults_s = 20;
  quiet.calm_s = 10;
  const RunReport report = sim::Run(quiet, 1).go();
  EXPECT_GT(report.totals.answers, 300u);
  EXPECT_EQ(report.totals.failures, 0u);
  EXPECT_EQ(report.totals.answers_partly, 0u);
  EXPECT_EQ(report.totals.gradients_failed, 0u);
  EXPECT_EQ(report.totals.updates_doubled, 0u);
  EXPECT_EQ(report.totals.experts_lost, 0u);
  EXPECT_EQ(report.experts.whole, report.experts.wanted);
  EXPECT_FALSE(report.callers_left);
  EXPECT_TRUE(report.kinds_on.empty());
}

TEST(SimRun, ARoundOfAveragingAsksNobodyButTrainers) {
  Scenario quiet;
  quiet.trainers = 2;
  quiet.faults_s = 5;
  quiet.calm_s = 5;
  sim::Run run(quiet, 1);
  run.go();
  for (Peer* trainer : run.world().trainers()) {
    std::vector<peers::PeerId> asked;
    for (const swarm::TrunkSource& source : swarm::trunk_sources(trainer->process().directory->records())) {
      if (source.trainer) asked.push_back(source.peer);
    }
    EXPECT_EQ(asked.size(), 1u);
  }
}

TEST(SimRun, EverySeedSwitchesOffOtherKinds) {
  World* world = nullptr;
  sim::Run run(chaos(), 1);
  world = &run.world();
  const auto on = [&](uint64_t seed) { return Nemesis(*world, chaos(), Rng(seed)).kinds_on(); };
  EXPECT_NE(on(1), on(2));
  EXPECT_EQ(on(1), on(1));
  EXPECT_LT(on(1).size(), 16u);
}

TEST(Scenario, IsReadFromToml) {
  const auto scenario = parse_scenario("hosts = 30\nlatency = \"world\"\n[faults]\nloss = 0.05\n", "x.toml");
  ASSERT_TRUE(scenario.ok()) << scenario.status();
  EXPECT_EQ(scenario->hosts, 30);
  EXPECT_EQ(scenario->latency, "world");
  EXPECT_EQ(scenario->faults.loss, 0.05);
  for (const auto& [text, named] :
       {std::pair{"hosts = 0", "hosts"}, std::pair{"hostz = 1", "hostz"},
        std::pair{"latency = \"moon\"", "moon"}, std::pair{"hosts = many", "many"},
        std::pair{"[faults]\nloss = 0.9", "faults.loss"},
        std::pair{"layers = 100\nexperts = 60000", "layers * experts_max"},
        std::pair{"trainers = 1\nlayers = 100\nexperts = 60000", "layers * experts_max"},
        std::pair{"[faults]\nfreeze_every_s = 0.0005", "faults.freeze_every_s"}}) {
    const auto bad = parse_scenario(text, "x.toml");
    EXPECT_TRUE(absl::IsInvalidArgument(bad.status())) << text;
    EXPECT_THAT(std::string(bad.status().message()), testing::HasSubstr(named));
    EXPECT_THAT(std::string(bad.status().message()), testing::HasSubstr("x.toml"));
  }
}

TEST(Scenario, AllRoomsTogetherHaveTwiceWhatIsWanted) {
  Scenario s;  // two layers of eight experts
  s.hosts = 7;
  s.replicas = 3;
  EXPECT_EQ(room_of(s), 14);  // of 96 copies
  s.hosts = 1000;
  EXPECT_EQ(room_of(s), 2) << "the least";
  s.room = 1;
  EXPECT_EQ(room_of(s), 1);
}

TEST(Scenario, IsWrittenAsItIsRead) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    const std::string text = scenario_text(random_scenario(seed));
    const auto scenario = parse_scenario(text, "x.toml");
    ASSERT_TRUE(scenario.ok()) << scenario.status();
    EXPECT_EQ(scenario_text(*scenario), text);
    EXPECT_EQ(scenario->faults.loss, random_scenario(seed).faults.loss);
  }
}

}  // namespace
}  // namespace agora::sim
