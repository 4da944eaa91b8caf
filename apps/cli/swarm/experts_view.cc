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

constexpr double kLoadUnit = 1.0 / 8;     // see swarm::HeldRange::loads
constexpr int32_t kExpertsMax = 1 << 16;  // of a range: what comes from others is not believed beyond it

using Rows = std::map<std::pair<int32_t, int32_t>, ExpertRow>;

double load_of(const swarm::HeldRange& range, int32_t i) {
  if (range.loads.empty()) return -1;
  const size_t at =
      range.loads.size() == 1 ? 0 : std::min<size_t>(static_cast<size_t>(i), range.loads.size() - 1);
  return kLoadUnit * range.loads[at];
}

void add(const peers::PeerId& peer, const swarm::HeldRange& range, int32_t i, Rows& rows) {
  const std::pair key(range.layer.value, range.first + i);
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
    row.load = load_of(range, i);
  }
  if (leads) row.leader = peer;
}

}  // namespace

std::vector<ExpertRow> experts_of(const std::vector<PeerStatus>& peers) {
  Rows rows;
  for (const PeerStatus& status : peers) {
    for (const swarm::HeldRange& range : status.self.state.held) {
      for (int32_t i = 0; i < std::min(range.count, kExpertsMax); ++i) add(status.self.peer, range, i, rows);
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
                       {"epoch", Align::right},
                       {"version", Align::right},
                       {"behind", Align::right},
                       {"load", Align::right},
                       {"replicas", Align::right},
                       {"held by"}});
  for (const ExpertRow& row : rows) {
    std::vector<std::string> holders;
    for (const peers::PeerId& peer : row.replicas) holders.push_back(peer.brief());
    table.add_row({absl::StrCat(row.layer), absl::StrCat(row.expert),
                   row.leader ? row.leader->brief() : "nobody", absl::StrCat(row.epoch),
                   absl::StrCat(row.version),
                   absl::StrCat(row.version - std::min(row.version, row.version_min)),
                   row.load < 0 ? "" : absl::StrFormat("%.2f", row.load), absl::StrCat(row.replicas.size()),
                   absl::StrJoin(holders, " ")});
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
                    {"load", row.load < 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(row.load)},
                    {"replicas", std::move(replicas)}});
  }
  return list;
}

}  // namespace agora::cli
