// Who holds which expert, from what the hosts say of themselves.
//
//   std::vector<ExpertRow> rows = experts_of(statuses);      std::cout << experts_text(rows, columns);
//
// Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "apps/dashboard/peer_status.h"

namespace agora::cli {

struct ExpertRow {
  int32_t layer = 0;
  int32_t expert = 0;
  std::optional<peers::PeerId> leader;  // of the highest epoch; none: nobody leads it
  uint32_t epoch = 0;
  uint64_t version = 0;                 // of the leader; else the freshest replica's
  uint64_t version_min = 0;             // of the replica that is furthest behind
  double rows_per_s = -1;               // over all replicas; negative: nobody says
  std::vector<peers::PeerId> replicas;  // the leader included, ascending
};

// By layer and expert.
std::vector<ExpertRow> experts_of(const std::vector<dashboard::PeerStatus>& peers);

std::string experts_text(const std::vector<ExpertRow>& rows, int columns);
nlohmann::ordered_json experts_json(const std::vector<ExpertRow>& rows);

}  // namespace agora::cli
