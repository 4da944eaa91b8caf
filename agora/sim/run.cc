#include "agora/sim/run.h"

#include <algorithm>
#include <utility>

#include "agora/base/check.h"

namespace agora::sim {
namespace {

constexpr int64_t kSamplesMax = 600;
constexpr int64_t kLastAnswersNs = 30 * kSecondNs;  // a question's deadline and its gradient's, and some more
constexpr int64_t kSaveNs = 10 * kSecondNs;         // more often than in production: a run is short
constexpr int64_t kFlashCrowd = 10;                 // times the load
constexpr int64_t kComputedWithinNs = 5 * kMillisecondNs;  // by a host, a few calls
constexpr int64_t kGradientRows = 4;                       // backward, of rows sent again

WorldSettings world_settings(const Scenario& s, uint64_t seed) {
  WorldSettings settings;
  settings.seed = seed;
  settings.latency = *latency_of(s.latency);
  settings.spec = spec_of(s);
  settings.clock_drift_ppm_max = static_cast<int32_t>(s.faults.clock_drift_ppm);
  settings.clock_offset_ns_max = ns_of(s.faults.clock_offset_s);
  return settings;
}

HostSettings host_settings(const Scenario& s) {
  HostSettings settings;
  settings.options.experts_max = room_of(s);
  settings.options.save_ns = kSaveNs;
  settings.options.probe_ns = std::min(settings.options.probe_ns, ns_of(s.loss_window_s) / 2);
  settings.times.row_ns = static_cast<int64_t>(s.row_us * 1e3);
  return settings;
}

// Sets limits so low that what they guard happens all the time; gives their names. One draw a limit.
std::vector<std::string> force_rare(const Scenario& s, Rng rng, HostSettings& host, GateSettings& gate) {
  std::vector<std::string> names;
  const auto force = [&](const char* name, const std::function<void()>& set) {
    if (rng.below(1'000'000) >= static_cast<uint32_t>(s.faults.rare * 1e6)) return;
    set();
    names.emplace_back(name);
  };
  force("short queues", [&] { host.service.queue.calls_max = 2; });
  force("few tickets at hosts", [&] { host.service.tickets.tickets_per_peer_max = 1; });
  force("short-lived tickets", [&] { host.service.tickets.age_ns_max = 2 * kMillisecondNs; });
  force("small passes", [&] { host.service.rows_per_pass_max = 1; });
  force("forgetful ledgers", [&] { host.ledger = {.keys_per_trainer = 16, .answer_bytes = 256}; });
  force("one pull at a time", [&] { host.options.pulls_max = host.options.hand_overs_max = 1; });
  force("few copies", [&] { host.options.copies_max = 1; });
  force("hosts given up at once", [&] { host.options.probe_failures_max = 1; });
  // What a call takes, twice delayed by the network's tail, where all callers ask one host at once: so much
  // that in calm one in 100,000 is too late, and is asked of another.
  const Latency way = *latency_of(s.latency);
  const int64_t all_ns = s.gates * s.callers * s.rows * s.chosen * kGradientRows * host.times.row_ns;
  force("impatient gates", [&] {
    gate.attempt_ns = 2 * (way.high_ns + 7 * way.jitter_ns) + std::max(kComputedWithinNs, all_ns);
  });
  force("few tickets at gates", [&] { gate.tickets_max = 1; });
  return names;
}

GateSettings gate_settings(const Scenario& s) {
  GateSettings settings;
  settings.callers = static_cast<int>(s.callers);
  settings.rows = s.rows;
  settings.chosen = s.chosen;
  settings.training_ppm = static_cast<uint32_t>(s.training * 1e6);
  settings.think_ns = ns_of(s.think_ms / 1e3);
  settings.deadline_ns = ns_of(s.deadline_s);
  settings.hot_expert = static_cast<int32_t>(s.hot_expert);
  settings.hot_ppm = static_cast<uint32_t>(s.hot * 1e6);
  return settings;
}

Totals without(Totals all, const Totals& before) {
  all.answers -= before.answers;
  all.failures -= before.failures;
  all.rows -= before.rows;
  all.answers_partly -= before.answers_partly;
  all.mass -= before.mass;
  all.mass_lost -= before.mass_lost;
  all.gradients -= before.gradients;
  all.gradients_failed -= before.gradients_failed;
  return all;
}

}  // namespace

Run::Run(const Scenario& scenario, uint64_t seed) : scenario_(scenario), seed_(seed) {
  AGORA_CHECK(validate(scenario).ok());
  const double seconds = scenario.warm_up_s + scenario.faults_s + scenario.calm_s;
  sample_ns_ = std::max(kSecondNs, ns_of(seconds) / kSamplesMax);
  histories_.add(tally_);
  world_ = std::make_unique<World>(world_settings(scenario_, seed_), histories_);
  HostSettings host = host_settings(scenario_);
  GateSettings gate = gate_settings(scenario_);
  rare_ = force_rare(scenario_, world_->rng().fork("rare"), host, gate);
  gives_up_at_once_ = host.options.probe_failures_max == 1;
  for (int64_t i = 0; i < scenario_.hosts; ++i) world_->add_host(host);
  for (int64_t i = 0; i < scenario_.gates; ++i) world_->add_gate(gate);
  for (int64_t i = 0; i < scenario_.trainers; ++i) {
    world_->add_trainer({.options = tiny_options(scenario_.layers, scenario_.experts, scenario_.chosen),
                         .think_ns = ns_of(scenario_.think_ms / 1e3),
                         .patience_ns = ns_of(scenario_.deadline_s)});
  }
}

Run::~Run() = default;

void Run::pass(double seconds, bool calm) {
  const int64_t until_ns = world_->now_ns() + ns_of(seconds);
  while (world_->now_ns() < until_ns) {
    world_->run_for(std::min(sample_ns_, until_ns - world_->now_ns()));
    tally_.sample(*world_);
    for (const auto& look : looks_) look(*world_, calm);
  }
}

RunReport Run::go() {
  RunReport report;
  report.scenario = scenario_;
  report.seed = seed_;
  World& world = *world_;
  for (Peer* host : world.hosts()) host->start();
  pass(scenario_.warm_up_s, false);
  for (Peer* gate : world.gates()) gate->start();
  for (Peer* trainer : world.trainers()) trainer->start();
  report.began_ns = world.now_ns();

  Nemesis nemesis(world, scenario_, world.rng().fork("nemesis"));
  nemesis.begin();
  if (scenario_.flash_crowd_s > 0) {
    const auto think = [&world](int64_t ns) {
      for (Peer* gate : world.gates()) world.gate_settings_of(*gate).think_ns = ns;
    };
    const int64_t usual_ns = ns_of(scenario_.think_ms / 1e3);
    const int64_t begins_ns = ns_of((scenario_.faults_s - scenario_.flash_crowd_s) / 2);
    world.loop().after(std::max<int64_t>(0, begins_ns), [=] { think(usual_ns / kFlashCrowd); });
    world.loop().after(std::max<int64_t>(0, begins_ns) + ns_of(scenario_.flash_crowd_s),
                       [=] { think(usual_ns); });
  }
  pass(scenario_.faults_s, false);
  nemesis.end();
  report.calm_ns = world.now_ns();
  const Totals before = tally_.totals();
  pass(scenario_.calm_s, true);
  report.in_calm = without(tally_.totals(), before);
  report.callers_left = !world.stop_gates(kLastAnswersNs);

  report.ended_ns = world.now_ns();
  report.kinds_on = nemesis.kinds_on();
  report.rare = rare_;
  report.fault_events = nemesis.events();
  report.totals = tally_.totals();
  report.samples = tally_.samples();
  report.network = world.network().counters();
  uint64_t all = 0;
  for (const auto& peer : world.peers()) {
    const PlaceTraffic& traffic = world.network().traffic(peer->place());
    const uint64_t bytes = traffic.bytes_sent + traffic.bytes_received;
    all += bytes;
    report.bytes_per_peer_max = std::max(report.bytes_per_peer_max, bytes);
  }
  const auto seconds = static_cast<uint64_t>(std::max<int64_t>(1, report.ended_ns / kSecondNs));
  report.bytes_per_peer_mean = all / world.peers().size() / seconds;
  report.bytes_per_peer_max /= seconds;
  report.experts = count_experts(world);
  return report;
}

}  // namespace agora::sim
