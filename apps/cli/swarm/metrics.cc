#include "apps/cli/swarm/metrics.h"

#include <utility>

#include "agora/base/clock.h"
#include <prometheus/text_serializer.h>

#include "apps/dashboard/peer_status.h"

namespace agora::cli {

void add_counter(std::vector<Metric>& to, const char* name, const char* help, double value) {
  to.push_back({name, help, Metric::Kind::counter, value});
}

void add_gauge(std::vector<Metric>& to, const char* name, const char* help, double value) {
  to.push_back({name, help, Metric::Kind::gauge, value});
}

void append_metrics(const peers::TransportCounters& c, std::vector<Metric>& to) {
  add_counter(to, "agora_calls_sent_total", "Calls to other peers.", c.calls_sent);
  add_counter(to, "agora_calls_received_total", "Calls from other peers.", c.calls_received);
  add_counter(to, "agora_calls_failed_total", "Calls to other peers that ended with an error or too late.",
              c.calls_failed);
  add_counter(to, "agora_bytes_sent_total", "Bytes of frames to other peers.", c.bytes_sent);
  add_counter(to, "agora_bytes_received_total", "Bytes of frames from other peers.", c.bytes_received);
  add_counter(to, "agora_frames_refused_total",
              "Frames that could not be read, were too large or of no method.", c.frames_refused);
  add_counter(to, "agora_connections_refused_total",
              "No proof of the id, a wrong swarm key, or over a limit.", c.connections_refused);
  add_counter(to, "agora_calls_dropped_late_total", "Calls whose deadline had passed when they came.",
              c.calls_dropped_late);
  add_gauge(to, "agora_connections", "Connections with other peers.", c.connections);
}

void append_metrics(const peers::DirectoryCounters& c, std::vector<Metric>& to) {
  add_counter(to, "agora_records_taken_total", "Records of peers that were new or fresher.", c.records_taken);
  add_counter(to, "agora_records_forged_total", "Records whose signature or id does not hold.", c.forged);
  add_counter(to, "agora_records_stale_total", "Records older than what was known: replayed or overtaken.",
              c.stale);
  add_counter(to, "agora_records_oversized_total", "Records beyond the size limit.", c.oversized);
  add_counter(to, "agora_records_foreign_total", "Records of another swarm.", c.foreign);
  add_counter(to, "agora_records_malformed_total", "Records that could not be read.", c.malformed);
  add_counter(to, "agora_records_over_limit_total", "Records of more peers than are kept.", c.over_limit);
  add_counter(to, "agora_directory_messages_refused_total",
              "Messages of the directory that could not be read.", c.messages_refused);
  add_counter(to, "agora_records_expired_total", "Records whose peer was not heard of any more.", c.expired);
  add_counter(to, "agora_own_record_too_large_total",
              "Times that what this peer would say of itself was too large: others see what it said before.",
              c.own_refused);
}

void append_metrics(const swarm::PeerState& state, std::vector<Metric>& to) {
  if (state.host) {
    const dashboard::ExpertCounts experts = dashboard::count_experts(state);
    add_gauge(to, "agora_experts_led", "Experts that this host leads.", experts.led);
    add_gauge(to, "agora_experts_followed", "Experts that this host holds as a follower.",
              experts.held - experts.led);
    add_gauge(to, "agora_room", "Experts that this host would still take.", state.room);
    add_gauge(to, "agora_load_seconds", "How long a call that came now would wait.", 1e-6 * state.load_us);
  }
  add_gauge(to, "agora_step", "Trainers: steps done. Hosts: updates applied.", state.step);
  add_gauge(to, "agora_rows_per_second", "Rows through this peer.", state.rows_per_s);
  if (!state.trainer && !state.server) return;
  add_gauge(to, "agora_trunk_version", "Rounds of averaging that the trunk has seen.", state.trunk_version);
  if (state.trainer) add_gauge(to, "agora_loss", "Of the last step, in nats per token.", state.loss);
}

void append_metrics(const swarm::MixReport& r, std::vector<Metric>& to) {
  add_counter(to, "agora_mix_calls_total", "Mixtures that gates asked hosts for, each once.", r.calls);
  add_counter(to, "agora_mix_rows_total", "Tokens in them.", r.rows);
  add_counter(to, "agora_mix_by_replica_total", "Choices that another replica served.", r.by_replica);
  add_counter(to, "agora_mix_by_hedge_total", "Choices that a second call, sent early, served.", r.by_hedge);
  add_counter(to, "agora_mix_by_next_expert_total", "Choices that the next-best expert served.",
              r.by_next_expert);
  add_counter(to, "agora_mix_lost_total", "Choices that nobody served.", r.lost);
  add_counter(to, "agora_gate_mass_total", "Sum of the gates' weights.", r.gate_mass);
  add_counter(to, "agora_gate_mass_lost_total", "Sum of the weights of choices that nobody served.",
              r.gate_mass_lost);
  add_counter(to, "agora_updates_refused_total", "Gradients that no leader took, or that came too old.",
              r.updates_refused);
  add_counter(to, "agora_gradients_lost_total", "Choices whose gradient nobody answered.", r.gradients_lost);
  add_counter(to, "agora_tickets_resent_total", "Backward calls that had to send their inputs again.",
              r.tickets_resent);
  add_counter(to, "agora_mix_bytes_sent_total", "Bytes of rows to hosts.", r.bytes_sent);
  add_counter(to, "agora_mix_bytes_received_total", "Bytes of rows from hosts.", r.bytes_received);
}

void add_to(const swarm::MixReport& report, swarm::MixReport& sum) {
  sum.calls += report.calls;
  sum.rows += report.rows;
  sum.by_replica += report.by_replica;
  sum.by_hedge += report.by_hedge;
  sum.by_next_expert += report.by_next_expert;
  sum.lost += report.lost;
  sum.gate_mass += report.gate_mass;
  sum.gate_mass_lost += report.gate_mass_lost;
  sum.updates_refused += report.updates_refused;
  sum.gradients_lost += report.gradients_lost;
  sum.tickets_resent += report.tickets_resent;
  sum.bytes_sent += report.bytes_sent;
  sum.bytes_received += report.bytes_received;
}

float CounterRate::per_second(uint64_t count) {
  const int64_t now_ns = RealClock().now_ns();
  const double seconds = static_cast<double>(now_ns - std::exchange(last_ns_, now_ns)) * 1e-9;
  return static_cast<float>(static_cast<double>(count - std::exchange(last_, count)) / seconds);
}

std::string prometheus_text(const std::vector<Metric>& metrics, const std::string& peer) {
  std::vector<prometheus::MetricFamily> families;
  for (const Metric& metric : metrics) {
    const bool counts = metric.kind == Metric::Kind::counter;
    prometheus::ClientMetric sample;
    sample.label.push_back({"peer", peer});
    (counts ? sample.counter.value : sample.gauge.value) = metric.value;
    families.push_back({metric.name,
                        metric.help,
                        counts ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge,
                        {sample}});
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace agora::cli
