// What trainers tell each other while they average their trunks.
//
//   transport.call({.method = kAverage, ...}, encode(news), done);
//   AGORA_ASSIGN_OR_RETURN(News news, read_news(bytes));
//
// 106 bytes, 72 for each contribution that is named and 36 for each decision. Any thread (values).
#pragma once

#include <optional>
#include <vector>

#include "agora/base/result.h"
#include "agora/peers/transport/payload.h"
#include "agora/swarm/trunk.h"

namespace agora::swarm {

constexpr uint64_t kContributionRowsMax = uint64_t{1} << 40;

struct Contribution {
  peers::PeerId owner;
  weights::Digest hash{};  // of the delta's bytes
  uint64_t rows = 0;       // learned from since the last round: its weight
  friend bool operator==(const Contribution&, const Contribution&) = default;
};

struct Decision {
  peers::PeerId decider;
  std::vector<Contribution> counted;  // ascending by owner, not empty, at most kContributorsMax
  friend bool operator==(const Decision&, const Decision&) = default;
};

// Of the trunk that the decision makes of `base`.
TrunkVersion version_after(const TrunkVersion& base, const Decision& decision);

// What one trainer tells another; all of it at any time.
struct News {
  TrunkVersion version;               // of the sender's trunk
  std::optional<Contribution> ready;  // to the round that starts at `version`
  std::optional<Decision> decided;    // of that round, while it is not yet at the next version
  // The round that made `version`, for those who still wait for its decision; round 0 has none.
  std::optional<Decision> last;
  TrunkVersion last_base;  // where that round started
  bool coming = false;     // to a fresher version than `version`: it is being pulled, or averaged
  bool resting = false;    // has taken its last step: of what is not `ready` now nothing will come
};

peers::Payload encode(const News& news);
// InvalidArgument: does not fit, more contributions than a round may have or rows than one may, or not
// ascending.
StatusOr<News> read_news(base::Bytes bytes);

}  // namespace agora::swarm
