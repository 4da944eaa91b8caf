#include "apps/cli/swarm/swarm_view.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

#include "apps/cli/terminal_table.h"
#include "apps/cli/terminal_text.h"

namespace agora::cli {
namespace {

constexpr int kGap = 2;  // spaces between numbers of a line
constexpr int kTableHeadLines = 2;

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
  const dashboard::PeerStatus& status = *process.status;
  const swarm::PeerState& state = status.self.state;
  const dashboard::ExpertCounts experts = dashboard::count_experts(state);
  const double mass = status.metric("agora_gate_mass_total");
  const double lost = status.metric("agora_gate_mass_lost_total");
  return {process.name,
          status.self.peer.brief(),
          state_text(process),
          whole(static_cast<double>(state.step)),
          state.loss > 0 ? absl::StrFormat("%.3f", state.loss) : "",
          whole(state.rows_per_s),
          state.host ? absl::StrFormat("%d/%d", experts.led, experts.held) : "",
          whole(dashboard::calls_of(status)),
          whole(dashboard::failures_of(status)),
          mass > 0 ? absl::StrFormat("%.2f %%", 100 * lost / mass) : "",
          state.host ? absl::StrFormat("%.1f ms", 1e-3 * state.load_us) : ""};
}

// "step 120", "loss 3.104", "5,210 rows/s", ...
std::vector<std::string> summary_of(const SwarmTotals& t) {
  std::vector<std::string> parts = {absl::StrFormat("step %d", t.steps)};
  if (t.loss > 0) parts.push_back(absl::StrFormat("loss %.3f", t.loss));
  parts.push_back(whole(t.rows_per_s) + " rows/s");
  parts.push_back(absl::StrFormat("experts %d led, %d held", t.experts_led, t.experts_held));
  parts.push_back("calls " + whole(t.calls));
  parts.push_back("failed " + whole(t.failures));
  parts.push_back(absl::StrFormat("gate weight lost %.3f %%", 100 * t.lost_share()));
  return parts;
}

// As many in a line as fit.
std::string in_lines(const std::vector<std::string>& parts, int columns) {
  std::string text;
  std::string line;
  for (const std::string& part : parts) {
    if (part.empty()) continue;
    if (!line.empty() && display_width(line) + kGap + display_width(part) > columns) {
      absl::StrAppend(&text, line, "\n");
      line.clear();
    }
    absl::StrAppend(&line, line.empty() ? "" : "  ", cut(part, columns));
  }
  return absl::StrCat(text, line, "\n");
}

// As many means of neighbours as there are columns; fewer values stay as they are.
std::vector<double> squeezed(const std::vector<double>& values, int columns) {
  const auto count = static_cast<size_t>(std::max(columns, 1));
  if (values.size() <= count) return values;
  std::vector<double> means;
  for (size_t i = 0; i < count; ++i) {
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(i * values.size() / count);
    const auto last = values.begin() + static_cast<std::ptrdiff_t>((i + 1) * values.size() / count);
    means.push_back(std::reduce(first, last) / static_cast<double>(last - first));
  }
  return means;
}

// The whole way of the loss, however long.
std::string curve_line(const std::vector<double>& losses, int columns) {
  if (losses.size() < 2) return "";
  const std::string ends = absl::StrFormat(" %.3f → %.3f", losses.front(), losses.back());
  const int room = columns - display_width(ends);
  return absl::StrCat(sparkline(squeezed(losses, room), room), ends, "\n");
}

}  // namespace

SwarmTotals totals_of(const SwarmView& view) {
  SwarmTotals totals;
  int64_t losses = 0;
  for (const ProcessView& process : view.processes) {
    if (process.state != ProcessView::State::running || !process.status) continue;
    const dashboard::PeerStatus& status = *process.status;
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
    const dashboard::ExpertCounts experts = dashboard::count_experts(state);
    totals.experts_led += experts.led;
    totals.experts_held += experts.held;
    totals.calls += status.metric("agora_calls_sent_total");
    totals.failures += dashboard::failures_of(status);
    totals.gate_mass += status.metric("agora_gate_mass_total");
    totals.gate_mass_lost += status.metric("agora_gate_mass_lost_total");
  }
  if (losses > 0) totals.loss /= static_cast<double>(losses);
  return totals;
}

std::string swarm_screen(const SwarmView& view, int columns, int lines) {
  std::string head = in_lines(
      {visible_text(view.title), duration_text(view.seconds), visible_text(view.phase), view.page}, columns);
  absl::StrAppend(&head, in_lines(summary_of(totals_of(view)), columns), curve_line(view.losses, columns));
  for (const std::string& trouble : view.troubles) {
    absl::StrAppend(&head, cut(visible_text(trouble), columns), "\n");
  }
  absl::StrAppend(&head, "\n");
  TerminalTable table({{"process"},
                       {"peer", Align::left, 3},
                       {"state"},
                       {"step", Align::right},
                       {"loss", Align::right},
                       {"rows/s", Align::right},
                       {"experts", Align::right},
                       {"calls", Align::right, 1},
                       {"failed", Align::right},
                       {"lost", Align::right},
                       {"wait", Align::right, 2}});
  const auto head_lines = std::ranges::count(head, '\n') + kTableHeadLines;
  const auto room = static_cast<size_t>(std::max<int64_t>(1, lines - head_lines));
  const size_t all = view.processes.size();
  const size_t shown = all <= room ? all : room - 1;
  for (size_t i = 0; i < shown; ++i) table.add_row(row_of(view.processes[i]));
  std::string text = absl::StrCat(head, table.text(columns));
  if (shown < all) {
    absl::StrAppend(
        &text,
        cut(absl::StrFormat("... and %d more: a higher window or the page shows them", all - shown), columns),
        "\n");
  }
  return text;
}

std::string swarm_line(const SwarmView& view) {
  const SwarmTotals totals = totals_of(view);
  std::string text = absl::StrFormat("%s  %s  %d hosts %d trainers %d servers  ", duration_text(view.seconds),
                                     visible_text(view.phase), totals.hosts, totals.trainers, totals.servers);
  return absl::StrCat(text, absl::StrJoin(summary_of(totals), "  "));
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
