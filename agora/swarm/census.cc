#include "agora/swarm/census.h"

#include "agora/swarm/peer_state.h"

namespace agora::swarm {
namespace {

bool in_spec(const SwarmSpec& spec, LayerId layer, ExpertId expert) {
  return layer.value < spec.layers && expert.value < spec.experts_max;
}

template <class Range>
void add_range(const SwarmSpec& spec, const Range& range, std::set<ExpertName>& to) {
  const int32_t end = end_in(room_of(spec), range);
  for (int32_t e = range.first; e < end; ++e) to.insert({range.layer, ExpertId{e}});
}

}  // namespace

Census take_census(const std::vector<std::shared_ptr<const peers::Record>>& records, const SwarmSpec& spec) {
  Census census;
  for (const auto& record : records) {
    const StatusOr<PeerState> state = decode_peer_state(record->body);
    if (!state.ok() || !state->host) continue;
    for (const HeldRange& range : state->held) {
      if (range.leads) add_range(spec, range, census.led);
    }
    for (const RetiredRange& range : state->retired) add_range(spec, range, census.retired);
    for (const Newcomer& newcomer : state->newcomers) {
      if (!in_spec(spec, newcomer.layer, newcomer.expert) ||
          !in_spec(spec, newcomer.layer, newcomer.source)) {
        continue;
      }
      census.sources.try_emplace({newcomer.layer, newcomer.expert}, newcomer.source);
    }
  }
  return census;
}

}  // namespace agora::swarm
