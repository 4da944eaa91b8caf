#include "apps/dashboard/peer_status.h"

#include "absl/strings/str_cat.h"
#include "agora/weights/strict_json.h"
#include <nlohmann/json.hpp>

namespace agora::dashboard {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kDepthMax = 8;
constexpr size_t kRangesMax = 4096;  // of one peer

Json range_json(const swarm::HeldRange& range) {
  return {{"layer", range.layer.value}, {"first", range.first}, {"count", range.count},
          {"leads", range.leads},       {"epoch", range.epoch}, {"version", range.version},
          {"loads", range.loads}};
}

// The library reports a missing key or a wrong type by exception; it ends in read_status().
using In = nlohmann::json;

// As a double, so that a number of any size is compared, not cut.
StatusOr<int32_t> number_at(const In& in, const char* key) {
  const In& number = in.at(key);
  if (number.is_number_integer() && number.get<double>() >= 0 &&
      number.get<double>() <= swarm::kExpertNumberMax) {
    return number.get<int32_t>();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(key, ": expected a whole number from 0 to ", swarm::kExpertNumberMax));
}

StatusOr<swarm::HeldRange> range_of(const In& in) {
  swarm::HeldRange range;
  AGORA_ASSIGN_OR_RETURN(range.layer.value, number_at(in, "layer"));
  AGORA_ASSIGN_OR_RETURN(range.first, number_at(in, "first"));
  AGORA_ASSIGN_OR_RETURN(range.count, number_at(in, "count"));
  in.at("leads").get_to(range.leads);
  in.at("epoch").get_to(range.epoch);
  in.at("version").get_to(range.version);
  in.at("loads").get_to(range.loads);
  return range;
}

Status check_held(const std::vector<swarm::HeldRange>& held) {
  std::pair<int32_t, int32_t> next{0, 0};  // layer and expert
  for (const swarm::HeldRange& range : held) {
    const std::pair<int32_t, int32_t> first{range.layer.value, range.first};
    if (range.count == 0 || first < next || range.first > swarm::kExpertNumberMax - range.count) {
      return absl::InvalidArgumentError("held: expected ranges of experts that ascend");
    }
    next = {first.first, range.first + range.count};
  }
  return absl::OkStatus();
}

// Of what it says of itself; what others say is not the fault of who passes it on.
Status check_size(const swarm::PeerState& self) {
  if (count_experts(self).held <= kExpertsHeldMax) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("held: expected at most ", kExpertsHeldMax, " experts"));
}

StatusOr<PeerEntry> entry_of(const In& in) {
  PeerEntry entry;
  AGORA_ASSIGN_OR_RETURN(entry.peer, peers::parse_peer_id(in.at("peer").get<std::string>()));
  in.at("host").get_to(entry.at.host);
  in.at("port").get_to(entry.at.port);
  swarm::PeerState& state = entry.state;
  const In& roles = in.at("roles");
  roles.at("host").get_to(state.host);
  roles.at("trainer").get_to(state.trainer);
  roles.at("server").get_to(state.server);
  const In& held = in.at("held");
  if (held.size() > kRangesMax) {
    return absl::InvalidArgumentError(absl::StrCat("held: expected at most ", kRangesMax, " ranges"));
  }
  for (const In& in_range : held) {
    AGORA_ASSIGN_OR_RETURN(swarm::HeldRange range, range_of(in_range));
    state.held.push_back(std::move(range));
  }
  AGORA_RETURN_IF_ERROR(check_held(state.held));
  in.at("room").get_to(state.room);
  in.at("load_us").get_to(state.load_us);
  in.at("step").get_to(state.step);
  in.at("trunk_version").get_to(state.trunk_version);
  in.at("loss").get_to(state.loss);
  in.at("rows_per_s").get_to(state.rows_per_s);
  in.at("http_port").get_to(state.http_port);
  return entry;
}

StatusOr<PeerStatus> status_of(const In& in) {
  PeerStatus status;
  AGORA_ASSIGN_OR_RETURN(status.self, entry_of(in.at("self")));
  AGORA_RETURN_IF_ERROR(check_size(status.self.state));
  in.at("swarm").get_to(status.swarm);
  in.at("swarm_id").get_to(status.swarm_id);
  in.at("pid").get_to(status.pid);
  in.at("uptime_s").get_to(status.uptime_s);
  const In& metrics = in.at("metrics");
  const In& known = in.at("known");
  if (metrics.size() > kMetricsListedMax || known.size() > kPeersListedMax) {
    return absl::InvalidArgumentError(absl::StrCat("expected at most ", kMetricsListedMax, " metrics and ",
                                                   kPeersListedMax, " known peers"));
  }
  metrics.get_to(status.metrics);
  for (const In& entry : known) {
    AGORA_ASSIGN_OR_RETURN(PeerEntry one, entry_of(entry));
    status.known.push_back(std::move(one));
  }
  return status;
}

}  // namespace

double PeerStatus::metric(const std::string& name) const {
  const auto found = metrics.find(name);
  return found == metrics.end() ? 0 : found->second;
}

Json entry_json(const PeerEntry& entry) {
  const swarm::PeerState& state = entry.state;
  Json held = Json::array();
  for (const swarm::HeldRange& range : state.held) held.push_back(range_json(range));
  return {{"peer", entry.peer.text()},
          {"host", entry.at.host},
          {"port", entry.at.port},
          {"roles", {{"host", state.host}, {"trainer", state.trainer}, {"server", state.server}}},
          {"held", std::move(held)},
          {"room", state.room},
          {"load_us", state.load_us},
          {"step", state.step},
          {"trunk_version", state.trunk_version},
          {"loss", state.loss},
          {"rows_per_s", state.rows_per_s},
          {"http_port", state.http_port}};
}

Json status_json(const PeerStatus& status) {
  Json known = Json::array();
  for (const PeerEntry& entry : status.known) {
    if (known.size() < kPeersListedMax) known.push_back(entry_json(entry));
  }
  return {{"self", entry_json(status.self)}, {"swarm", status.swarm},
          {"swarm_id", status.swarm_id},     {"pid", status.pid},
          {"uptime_s", status.uptime_s},     {"metrics", status.metrics},
          {"known", std::move(known)}};
}

std::string status_text(const PeerStatus& status) {
  return status_json(status).dump(-1, ' ', false, Json::error_handler_t::replace);
}

StatusOr<PeerStatus> read_status(std::string_view text) {
  AGORA_ASSIGN_OR_RETURN(const In json, weights::parse_json(text, "status", {kStatusBytesMax, kDepthMax}));
  try {
    StatusOr<PeerStatus> status = status_of(json);
    if (status.ok()) return status;
    return absl::InvalidArgumentError(absl::StrCat("status: ", std::string(status.status().message())));
  } catch (const In::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat("status: expected what a peer says of itself: ", error.what()));
  }
}

double calls_of(const PeerStatus& status) {
  return status.metric("agora_calls_sent_total") + status.metric("agora_calls_received_total");
}

double failures_of(const PeerStatus& status) { return status.metric("agora_calls_failed_total"); }

ExpertCounts count_experts(const swarm::PeerState& state) {
  ExpertCounts counts;
  for (const swarm::HeldRange& range : state.held) {
    counts.held += range.count;
    if (range.leads) counts.led += range.count;
  }
  return counts;
}

std::string roles_text(const swarm::PeerState& state) {
  std::string text;
  const auto add = [&text](bool has, const char* role) {
    if (has) absl::StrAppend(&text, text.empty() ? "" : "+", role);
  };
  add(state.host, "host");
  add(state.trainer, "trainer");
  add(state.server, "server");
  return text.empty() ? "peer" : text;
}

}  // namespace agora::dashboard
