#include "agora/train/trunk_of_others.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agora/swarm/trunk_exchange.h"

namespace agora::train {
namespace {

constexpr int64_t kLookNs = 200 * base::kMillisecondNs;  // between two looks at who is there

}  // namespace

StatusOr<std::optional<swarm::TrunkSnapshot>> trunk_of_others(const SwarmPeer& peer,
                                                              const swarm::TrunkVersion& own,
                                                              swarm::TrunkLayout& layout,
                                                              base::UntilStopped& until_stopped,
                                                              int64_t until_ns) {
  const auto load_fresher = [&](const swarm::TrunkSnapshot& snapshot) -> Status {
    if (snapshot.version > own) return layout.load(snapshot);
    return absl::FailedPreconditionError(absl::StrCat(
        "a peer handed out a trunk of round ", snapshot.version.round, ": its record says a fresher one"));
  };
  for (;;) {
    std::vector<swarm::TrunkSource> fresher = swarm::trunk_sources(peer.directory.records());
    std::erase_if(fresher, [&](const swarm::TrunkSource& source) {
      return source.version <= own || source.peer == peer.transport.self();
    });
    if (fresher.empty()) return std::nullopt;
    auto trunk = swarm::fetch_trunk_now(peer.transport, fresher, swarm::TrunkPart::values_with_momentum,
                                        layout.size(), peer.loop, load_fresher);
    if (trunk.ok()) return *std::move(trunk);
    if (swarm::is_useless(trunk.status())) return std::nullopt;
    if (peer.loop.now_ns() >= until_ns) return trunk.status();
    if (!until_stopped.rest(kLookNs)) return absl::CancelledError("stopped while it looked for a trunk");
  }
}

}  // namespace agora::train
