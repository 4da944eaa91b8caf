#include "apps/cli/swarm/swarm_view.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "apps/cli/terminal_table.h"
#include "apps/cli/terminal_text.h"

namespace agora::cli {
namespace {

struct Held {
  int64_t led = 0;
  int64_t all = 0;
};

Held held_by(const swarm::PeerState& state) {
  Held held;
  for (const swarm::HeldRange& range : state.held) {
    held.all += range.count;
    if (range.leads) held.led += range.count;
  }
  return held;
}

std::string whole(double value) { return with_thousands(std::llround(value)); }

std::string state_text(const ProcessView& process) {
  switch (process.state) {
    case ProcessView::State::starting:
      return "starting";
    case ProcessView::State::running:
      return "runs";
    case ProcessView::State::silent:
      return process.note.empty() ? "silent" : process.note;
    case ProcessView::State::ended:
      return process.note.empty() ? "ended" : process.note;
  }
  return "";
}

std::vector<std::string> row_of(const ProcessView& process) {
  if (!process.status || process.state == ProcessView::State::ended) {
    return {process.name, "", state_text(process)};
  }
  const PeerStatus& status = *process.status;
  const swarm::PeerState& state = status.self.state;
  const Held held = held_by(state);
  const double mass = status.metric("agora_gate_mass_total");
  const double lost = status.metric("agora_gate_mass_lost_total");
  return {process.name,
          status.self.peer.brief(),
          state_text(process),
          whole(static_cast<double>(state.step)),
          state.loss > 0 ? absl::StrFormat("%.3f", state.loss) : "",
          whole(state.rows_per_s),
          state.host ? absl::StrFormat("%d/%d", held.led, held.all) : "",
          whole(calls_of(status)),
          whole(failures_of(status)),
          mass > 0 ? absl::StrFormat("%.2f %%", 100 * lost / mass) : "",
          state.host ? absl::StrFormat("%.1f ms", 1e-3 * state.load_us) : ""};
}

// "loss 3.104  5,210 rows/s  experts 64 led, 128 held  0.00 % of the gates' weight lost"
std::string summary_text(const SwarmTotals& t) {
  std::string text = absl::StrFormat("step %d", t.steps);
  if (t.loss > 0) absl::StrAppendFormat(&text, "  loss %.3f", t.loss);
  absl::StrAppend(&text, "  ", whole(t.rows_per_s), " rows/s");
  absl::StrAppendFormat(&text, "  experts %d led, %d held", t.experts_led, t.experts_held);
  absl::StrAppend(&text, "  calls ", whole(t.calls), "  failures ", whole(t.failures));
  absl::StrAppendFormat(&text, "  gate weight lost %.3f %%", 100 * t.lost_share());
  return text;
}

}  // namespace

double calls_of(const PeerStatus& status) {
  return status.metric("agora_calls_sent_total") + status.metric("agora_calls_received_total");
}

double failures_of(const PeerStatus& status) {
  double sum = 0;
  for (const char* name :
       {"agora_mix_by_replica_total", "agora_mix_by_next_expert_total", "agora_mix_lost_total",
        "agora_updates_refused_total", "agora_frames_refused_total", "agora_calls_dropped_late_total"}) {
    sum += status.metric(name);
  }
  return sum;
}

SwarmTotals totals_of(const SwarmView& view) {
  SwarmTotals totals;
  int64_t losses = 0;
  for (const ProcessView& process : view.processes) {
    if (process.state != ProcessView::State::running || !process.status) continue;
    const PeerStatus& status = *process.status;
    const swarm::PeerState& state = status.self.state;
    totals.hosts += state.host;
    totals.trainers += state.trainer;
    totals.servers += state.server;
    if (state.trainer) {
      totals.rows_per_s += state.rows_per_s;
      totals.steps = std::max(totals.steps, state.step);
      totals.loss += state.loss;
      losses += state.loss > 0;
    }
    const Held held = held_by(state);
    totals.experts_led += held.led;
    totals.experts_held += held.all;
    totals.calls += calls_of(status);
    totals.failures += failures_of(status);
    totals.gate_mass += status.metric("agora_gate_mass_total");
    totals.gate_mass_lost += status.metric("agora_gate_mass_lost_total");
  }
  if (losses > 0) totals.loss /= static_cast<double>(losses);
  return totals;
}

std::string swarm_screen(const SwarmView& view, int columns) {
  const SwarmTotals totals = totals_of(view);
  std::string text = cut(absl::StrCat(visible_text(view.title), "  ", duration_text(view.seconds), "  ",
                                      visible_text(view.phase)),
                         columns);
  absl::StrAppend(&text, "\n", cut(summary_text(totals), columns), "\n");
  if (view.losses.size() > 1) {
    const std::string ends = absl::StrFormat(" %.3f → %.3f", view.losses.front(), view.losses.back());
    absl::StrAppend(&text, sparkline(view.losses, columns - display_width(ends)), ends, "\n");
  }
  TerminalTable table({{"process"},
                       {"peer"},
                       {"state"},
                       {"step", Align::right},
                       {"loss", Align::right},
                       {"rows/s", Align::right},
                       {"experts", Align::right},
                       {"calls", Align::right},
                       {"failures", Align::right},
                       {"lost", Align::right},
                       {"wait", Align::right}});
  for (const ProcessView& process : view.processes) table.add_row(row_of(process));
  return absl::StrCat(text, "\n", table.text(columns));
}

std::string swarm_line(const SwarmView& view) {
  const SwarmTotals totals = totals_of(view);
  std::string text = absl::StrFormat("%s  %s  %d hosts %d trainers %d servers  ", duration_text(view.seconds),
                                     visible_text(view.phase), totals.hosts, totals.trainers, totals.servers);
  return absl::StrCat(text, summary_text(totals));
}

std::string sparkline(const std::vector<double>& values, int columns) {
  static constexpr const char* kBars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  constexpr int kHeights = 8;
  const size_t count = std::min(values.size(), static_cast<size_t>(std::max(columns, 0)));
  if (count == 0) return "";
  const std::span shown(values.end() - static_cast<std::ptrdiff_t>(count), values.end());
  const auto [least, most] = std::ranges::minmax(shown);
  std::string text;
  for (const double value : shown) {
    const double height = most > least ? (value - least) / (most - least) : 0;
    text += kBars[std::clamp(static_cast<int>(height * kHeights), 0, kHeights - 1)];
  }
  return text;
}

}  // namespace agora::cli
