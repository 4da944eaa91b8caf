#include "apps/cli/swarm/experts_view.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include <nlohmann/json.hpp>

#include "apps/cli/terminal_table.h"

namespace agora::cli {
namespace {

constexpr size_t kRowsMax = 1 << 20;  // what many peers say to hold besides is left out

using Rows = std::map<std::pair<int32_t, int32_t>, ExpertRow>;

// Negative: the host does not say.
double rows_per_s_of(const swarm::HeldRange& range, int32_t i) {
  if (range.loads.empty()) return -1;
  const size_t at =
      range.loads.size() == 1 ? 0 : std::min<size_t>(static_cast<size_t>(i), range.loads.size() - 1);
  return swarm::rows_per_s_of(range.loads[at]);
}

void add(const peers::PeerId& peer, const swarm::HeldRange& range, int32_t i, Rows& rows) {
  const std::pair key(range.layer.value, range.first + i);
  if (rows.size() >= kRowsMax && !rows.contains(key)) return;
  const auto [at, is_new] = rows.try_emplace(key);
  ExpertRow& row = at->second;
  row.layer = key.first;
  row.expert = key.second;
  row.version_min = is_new ? range.version : std::min(row.version_min, range.version);
  row.replicas.push_back(peer);
  const bool leads = range.leads && (!row.leader || range.epoch > row.epoch);
  if (leads || (!row.leader && range.version >= row.version)) {
    row.epoch = range.epoch;
    row.version = range.version;
  }
  if (leads) row.leader = peer;
  const double rows_per_s = rows_per_s_of(range, i);
  if (rows_per_s >= 0) row.rows_per_s = std::max(row.rows_per_s, 0.0) + rows_per_s;
}

}  // namespace

std::vector<ExpertRow> experts_of(const std::vector<dashboard::PeerStatus>& peers) {
  Rows rows;
  for (const dashboard::PeerStatus& status : peers) {
    for (const swarm::HeldRange& range : status.self.state.held) {
      for (int32_t i = 0; i < range.count; ++i) add(status.self.peer, range, i, rows);
    }
  }
  std::vector<ExpertRow> all;
  for (auto& [key, row] : rows) {
    std::ranges::sort(row.replicas);
    all.push_back(std::move(row));
  }
  return all;
}

std::string experts_text(const std::vector<ExpertRow>& rows, int columns) {
  TerminalTable table({{"layer", Align::right},
                       {"expert", Align::right},
                       {"leader"},
                       {"epoch", Align::right, 1},
                       {"version", Align::right},
                       {"behind", Align::right},
                       {"rows/s", Align::right},
                       {"replicas", Align::right, 2},
                       {"held by"}});
  for (const ExpertRow& row : rows) {
    std::vector<std::string> holders;
    for (const peers::PeerId& peer : row.replicas) holders.push_back(peer.brief());
    table.add_row({absl::StrCat(row.layer), absl::StrCat(row.expert),
                   row.leader ? row.leader->brief() : "nobody", absl::StrCat(row.epoch),
                   absl::StrCat(row.version),
                   absl::StrCat(row.version - std::min(row.version, row.version_min)),
                   row.rows_per_s < 0 ? "" : absl::StrFormat("%.0f", row.rows_per_s),
                   absl::StrCat(row.replicas.size()), absl::StrJoin(holders, " ")});
  }
  return table.text(columns);
}

nlohmann::ordered_json experts_json(const std::vector<ExpertRow>& rows) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const ExpertRow& row : rows) {
    nlohmann::ordered_json replicas = nlohmann::ordered_json::array();
    for (const peers::PeerId& peer : row.replicas) replicas.push_back(peer.text());
    list.push_back({{"layer", row.layer},
                    {"expert", row.expert},
                    {"leader", row.leader ? nlohmann::ordered_json(row.leader->text()) : nullptr},
                    {"epoch", row.epoch},
                    {"version", row.version},
                    {"version_min", row.version_min},
                    {"rows_per_s",
                     row.rows_per_s < 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(row.rows_per_s)},
                    {"replicas", std::move(replicas)}});
  }
  return list;
}

}  // namespace agora::cli
