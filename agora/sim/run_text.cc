#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "agora/sim/run.h"

namespace agora::sim {
namespace {

constexpr size_t kColumns = 80;
constexpr size_t kLabelColumns = 14;

double ms(int64_t ns) { return static_cast<double>(ns) / 1e6; }
double percent(double part, double all) { return all > 0 ? 100 * part / all : 0.0; }

std::string latency_text(const LatencyHistogram& latency) {
  return absl::StrFormat("p50 %.1f ms, p90 %.1f, p99 %.1f, most %.1f", ms(latency.quantile_ns(0.5)),
                         ms(latency.quantile_ns(0.9)), ms(latency.quantile_ns(0.99)), ms(latency.max_ns()));
}

// Of the samples in which hosts computed anything.
std::string load_text(const std::vector<Sample>& samples) {
  std::vector<double> loads;
  for (const Sample& sample : samples) {
    if (sample.load_max_over_mean > 0) loads.push_back(sample.load_max_over_mean);
  }
  if (loads.empty()) return "no host computed anything";
  std::ranges::sort(loads);
  return absl::StrFormat("busiest host over the mean: %.2f in the median second, %.2f in the worst",
                         loads[loads.size() / 2], loads.back());
}

std::string swarm_text(const Scenario& s) {
  std::string text = absl::StrFormat("%d hosts, %d gates", s.hosts, s.gates);
  if (s.trainers > 0) text += absl::StrFormat(", %d trainers", s.trainers);
  return text + absl::StrFormat(", %d layers of %d experts, %d replicas, %s", s.layers, s.experts, s.replicas,
                                s.latency);
}

std::string experts_text(const RunReport& r) {
  return absl::StrFormat("%d of %d led, %d with all replicas; %d began anew, %d steps lost; %d leaderships",
                         r.experts.led, r.experts.wanted, r.experts.whole, r.totals.experts_lost,
                         r.totals.versions_lost, r.totals.leaders);
}

}  // namespace

std::string report_row(const std::string& label, const std::string& text) {
  std::string row = "  " + label + std::string(kLabelColumns - std::min(kLabelColumns, label.size()), ' ');
  size_t column = row.size();
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    if (column > kLabelColumns + 2) {
      const bool fits = column + 1 + (end - at) <= kColumns;
      row += fits ? " " : "\n" + std::string(kLabelColumns + 2, ' ');
      column = fits ? column + 1 : kLabelColumns + 2;
    }
    row += text.substr(at, end - at);
    column += end - at;
    at = end + 1;
  }
  return row + "\n";
}

std::string run_text(const RunReport& r) {
  const Totals& t = r.totals;
  const double seconds = std::max(1e-9, static_cast<double>(r.ended_ns - r.began_ns) / 1e9);
  std::string text = absl::StrFormat("scenario %s, seed %d\n", r.scenario.name, r.seed);
  text += report_row("swarm", swarm_text(r.scenario));
  text +=
      report_row("faults", absl::StrFormat("%d events; %s", r.fault_events,
                                           r.kinds_on.empty() ? "none" : absl::StrJoin(r.kinds_on, ", ")));
  if (!r.rare.empty()) text += report_row("forced", absl::StrJoin(r.rare, ", "));
  text += report_row("throughput", absl::StrFormat("%.1f rows/s; %d answers, %d failed, %d in part",
                                                   static_cast<double>(t.rows) / seconds, t.answers,
                                                   t.failures, t.answers_partly));
  text += report_row("in calm", absl::StrFormat("%d answers, %d failed, %d in part", r.in_calm.answers,
                                                r.in_calm.failures, r.in_calm.answers_partly));
  if (t.interactive.count() > 0) text += report_row("interactive", latency_text(t.interactive));
  if (t.training.count() > 0) text += report_row("training", latency_text(t.training));
  text += report_row("mass lost",
                     absl::StrFormat("%.3f %% of the gates', %.3f %% in calm", percent(t.mass_lost, t.mass),
                                     percent(r.in_calm.mass_lost, r.in_calm.mass)));
  text += report_row("load", load_text(r.samples));
  text +=
      report_row("updates", absl::StrFormat("%d taken, %d refused, %d taken twice; %d gradients, %d in part",
                                            t.updates_taken, t.updates_refused, t.updates_doubled,
                                            t.gradients, t.gradients_failed));
  if (r.scenario.trainers > 0) {
    text += report_row(
        "steps", absl::StrFormat("%d taken, %d failed; loss %.2f at first, %.2f at last, %.2f at best; "
                                 "%d rounds of averaging",
                                 t.steps, t.steps_failed, t.loss_first, t.loss_last, ChainTask::least_loss(),
                                 t.rounds));
  }
  text += report_row("experts", experts_text(r));
  text += report_row("bytes", absl::StrFormat("%d B/s a peer, the most %d; %d messages, %d lost, %d cut off",
                                              r.bytes_per_peer_mean, r.bytes_per_peer_max, r.network.messages,
                                              r.network.lost, r.network.cut));
  if (r.callers_left) text += report_row("waiting", "somebody still waits after all deadlines");
  return text;
}

}  // namespace agora::sim
