#include "agora/sim/scenario.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <sstream>

#include "agora/base/text.h"
#include "agora/sim/network.h"
#include "agora/sim/trainer_role.h"
#include "agora/sim/world.h"
#include <CLI/CLI.hpp>

namespace agora::sim {
namespace {

using base::concat;

// Visits every field with its name in the file.
template <class Visit>
void fields(FaultPlan& f, Visit visit) {
  visit("faults.loss", f.loss, 0.0, 0.3);
  visit("faults.duplicate", f.duplicate, 0.0, 0.5);
  visit("faults.reorder", f.reorder, 0.0, 0.5);
  visit("faults.replay", f.replay, 0.0, 0.5);
  visit("faults.crash_every_s", f.crash_every_s, 0.0, 1e9);
  visit("faults.restart_after_s", f.restart_after_s, 0.0, 1e9);
  visit("faults.gate_crash_every_s", f.gate_crash_every_s, 0.0, 1e9);
  visit("faults.freeze_every_s", f.freeze_every_s, 0.0, 1e9);
  visit("faults.freeze_s", f.freeze_s, 0.0, 1e6);
  visit("faults.partition_every_s", f.partition_every_s, 0.0, 1e9);
  visit("faults.partition_s", f.partition_s, 0.0, 1e6);
  visit("faults.clog_every_s", f.clog_every_s, 0.0, 1e9);
  visit("faults.clog_s", f.clog_s, 0.0, 1e6);
  visit("faults.slow_every_s", f.slow_every_s, 0.0, 1e9);
  visit("faults.slow_s", f.slow_s, 0.0, 1e6);
  visit("faults.clock_jump_every_s", f.clock_jump_every_s, 0.0, 1e9);
  visit("faults.clock_jump_s", f.clock_jump_s, 0.0, 1e5);
  visit("faults.clock_drift_ppm", f.clock_drift_ppm, 0.0, 1e5);
  visit("faults.clock_offset_s", f.clock_offset_s, 0.0, 1e6);
  visit("faults.leave_every_s", f.leave_every_s, 0.0, 1e9);
  visit("faults.churn_per_hour", f.churn_per_hour, 0.0, 1000.0);
  visit("faults.kill_at_once", f.kill_at_once, 0.0, 1.0);
  visit("faults.dht_down_every_s", f.dht_down_every_s, 0.0, 1e9);
  visit("faults.dht_down_s", f.dht_down_s, 0.0, 1e6);
  visit("faults.disk_full_every_s", f.disk_full_every_s, 0.0, 1e9);
  visit("faults.disk_full_s", f.disk_full_s, 0.0, 1e6);
  visit("faults.disk_flip", f.disk_flip, 0.0, 1.0);
  visit("faults.disk_torn", f.disk_torn, 0.0, 1.0);
  visit("faults.rare", f.rare, 0.0, 1.0);
  visit("faults.off", f.off, 0.0, 1.0);
}

template <class Visit>
void fields(Scenario& s, Visit visit) {
  visit("hosts", s.hosts, int64_t{1}, int64_t{100'000});
  visit("gates", s.gates, int64_t{0}, int64_t{10'000});
  visit("trainers", s.trainers, int64_t{0}, int64_t{1000});
  visit("layers", s.layers, int64_t{1}, int64_t{1000});
  visit("experts", s.experts, int64_t{1}, int64_t{100'000});
  visit("chosen", s.chosen, int64_t{1}, int64_t{64});
  visit("replicas", s.replicas, int64_t{1}, int64_t{64});
  visit("room", s.room, int64_t{0}, int64_t{100'000});
  visit("warm_up_s", s.warm_up_s, 0.0, 1e9);
  visit("faults_s", s.faults_s, 0.0, 1e9);
  visit("calm_s", s.calm_s, 0.0, 1e9);
  visit("callers", s.callers, int64_t{0}, int64_t{1000});
  visit("rows", s.rows, int64_t{1}, int64_t{10'000});
  visit("think_ms", s.think_ms, 1.0, 1e9);
  visit("deadline_s", s.deadline_s, 0.001, 1e6);
  visit("training", s.training, 0.0, 1.0);
  visit("hot_expert", s.hot_expert, int64_t{-1}, int64_t{100'000});
  visit("hot", s.hot, 0.0, 1.0);
  visit("flash_crowd_s", s.flash_crowd_s, 0.0, 1e6);
  visit("row_us", s.row_us, 0.001, 1e6);
  visit("loss_window_s", s.loss_window_s, 0.5, 3600.0);
  fields(s.faults, visit);
}

template <class Number>
bool read_number(const std::string& text, Number* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

// A field of this name takes the text. False: there is none, or the text is no such number.
bool set_field(Scenario& scenario, const std::string& name, const std::string& text) {
  if (name == "name") return scenario.name = text, true;
  if (name == "latency") return scenario.latency = text, true;
  bool set = false;
  fields(scenario, [&](const char* field, auto& value, auto, auto) {
    if (name == field) set = read_number(text, &value);
  });
  return set;
}

constexpr std::string_view kFaults = "faults.";
constexpr double kPeriodMinS = 0.01;  // of events: their times are drawn in milliseconds

}  // namespace

StatusOr<Scenario> parse_scenario(const std::string& toml, const std::string& where) {
  Scenario scenario;
  try {  // CLI11 reports by exception; it ends here
    std::istringstream text(toml);
    for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_config(text)) {
      if (item.name == "++" || item.name == "--") continue;  // a section begins or ends
      const std::string value = item.inputs.empty() ? "" : item.inputs.front();
      if (set_field(scenario, item.fullname(), value)) continue;
      return absl::InvalidArgumentError(concat(where, ": ", item.fullname(), " = ", value,
                                               ": not a field of a scenario, or not such a number; "
                                               "docs/simulation.md lists them"));
    }
  } catch (const CLI::Error& error) {
    return absl::InvalidArgumentError(concat(where, ": expected TOML: ", error.what()));
  }
  if (Status valid = validate(scenario); !valid.ok()) return base::about(where, valid);
  return scenario;
}

std::string scenario_text(const Scenario& scenario) {
  std::map<std::string_view, std::string> defaults;
  const auto text_of = [](auto value) {
    char digits[32];
    return std::string(digits, std::to_chars(digits, std::end(digits), value).ptr);
  };
  Scenario usual = {}, given = scenario;
  fields(usual, [&](const char* field, auto value, auto, auto) { defaults[field] = text_of(value); });
  std::string text = concat("name = ", base::in_quotes(given.name), "\nlatency = \"", given.latency, "\"\n");
  std::string faults = "\n[faults]\n";
  fields(given, [&](std::string_view field, auto value, auto, auto) {
    if (text_of(value) == defaults[field]) return;
    const bool fault = field.starts_with(kFaults);
    (fault ? faults : text) += concat(field.substr(fault ? kFaults.size() : 0), " = ", text_of(value), "\n");
  });
  return text + faults;
}

swarm::SwarmSpec spec_of(const Scenario& s) {
  const auto replicas = static_cast<int32_t>(s.replicas);
  swarm::SwarmSpec spec = s.trainers > 0 ? trained_spec(tiny_options(s.layers, s.experts, s.chosen),
                                                        TrainerSettings{}.chain, replicas)
                                         : small_spec(s.layers, s.experts, replicas);
  spec.loss_window_s = s.loss_window_s;
  return spec;
}

int32_t room_of(const Scenario& s) {
  const int64_t twice = 2 * s.layers * s.experts * s.replicas;
  return static_cast<int32_t>(s.room > 0 ? s.room : std::max<int64_t>(2, (twice + s.hosts - 1) / s.hosts));
}

int64_t ns_of(double seconds) { return static_cast<int64_t>(seconds * 1e3) * kMillisecondNs; }

Status validate(const Scenario& given) {
  Status status = latency_of(given.latency).status();
  Scenario scenario = given;
  fields(scenario, [&](const char* name, auto value, auto low, auto high) {
    if (!status.ok()) return;
    if (value < low || value > high) {
      status = absl::InvalidArgumentError(concat(name, ": expected ", low, " to ", high, ", got ", value));
    } else if (std::string_view(name).ends_with("_every_s") && value > 0 && value < kPeriodMinS) {
      status = absl::InvalidArgumentError(
          concat(name, ": expected 0 (never) or ", kPeriodMinS, " and more, got ", value));
    }
  });
  if (!status.ok()) return status;
  if (scenario.chosen >= scenario.experts) {
    return absl::InvalidArgumentError("chosen: expected fewer than experts");
  }
  if (scenario.hot_expert >= scenario.experts) {
    return absl::InvalidArgumentError("hot_expert: expected one of the experts");
  }
  return swarm::validate(spec_of(scenario));
}

}  // namespace agora::sim
