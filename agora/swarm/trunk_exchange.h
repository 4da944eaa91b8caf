// Trainers hand out their trunk, servers the newest that they took; who comes late pulls it.
//
//   TrunkShelf shelf(clock);   shelf.serve(transport);   shelf.put(std::move(snapshot));        // a trainer
//
//   const auto sources = trunk_sources(directory.records());                             // a server
//   if (!sources.empty() && sources[0].version > mine) {
//     fetch_trunk(transport, clock, sources[0], TrunkPart::values, numbers, [](auto trunk) { ... });
//   }
//   TrunkLayout layout(model.parameters(), model.selection_biases());
//   AGORA_ASSIGN_OR_RETURN(TrunkSnapshot trunk, fetch_trunk_now(transport, sources, TrunkPart::values,
//       layout.size(), loop, [&](const auto& trunk) { return layout.load(trunk); }));   // the same, waiting
//
// 1 + ceil(4 N / kBlobChunkBytes) round trips for N numbers, twice as many chunks with the momentum; the
// trunk that was the newest at the first comes, whatever rounds go by: it is kept for who fetches it, one of
// each part for each peer, until it is there or its time is over. Who fetches says how many numbers its own
// model's trunk has: more bytes are refused, and the time follows from them (blob.h). Any thread, but
// fetch_trunk_now() not on the transport's own threads or the loop.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "agora/base/loop.h"
#include "agora/base/mutex.h"
#include "agora/peers/directory/directory.h"
#include "agora/peers/transport/transport.h"
#include "agora/swarm/trunk.h"
#include "agora/swarm/wire/blob.h"

namespace agora::swarm {

enum class TrunkPart : uint8_t {
  values,                // for servers
  values_with_momentum,  // for trainers, who go on averaging; servers have none to give
};

// Of trunks that are being fetched; the one that reaches it has room. More fetchers wait, or ask another.
constexpr size_t kTrunkBytesHeldMax = size_t{256} << 20;

class TrunkShelf {
 public:
  // The clock outlives the transport that the shelf is served by.
  explicit TrunkShelf(const Clock& clock, size_t bytes_held_max = kTrunkBytesHeldMax);
  void serve(peers::Transport& transport);  // kGetTrunk; the answers outlive the shelf
  void put(TrunkSnapshot snapshot);
  std::shared_ptr<const TrunkSnapshot> latest() const;  // null: none yet

  // Deltas of a round of averaging are fetched by their hash, from whoever holds them.
  void hold_delta(const weights::Digest& hash, peers::Payload bytes);
  void keep_deltas(const std::vector<weights::Digest>& which);  // and no other

 private:
  struct Held;
  std::shared_ptr<Held> held_;  // shared with the transport's handler
};

std::string delta_key(const weights::Digest& hash);

struct TrunkSource {
  peers::PeerId peer;
  peers::Endpoint endpoint;
  TrunkVersion version = {};  // rounds and rows, as its record says
  bool trainer = false;       // a server hands out no momentum
};

// Who hands out a trunk: the newest first; of equal ones trainers first, then by peer.
std::vector<TrunkSource> trunk_sources(const std::vector<std::shared_ptr<const peers::Record>>& records);

// done runs once, on a thread of the transport. Errors: of fetch_blob() and read_trunk(); NotFound: the peer
// has no trunk yet; Unavailable also: too many fetch one from it.
void fetch_trunk(peers::Transport& transport, const Clock& clock, const TrunkSource& source, TrunkPart part,
                 size_t numbers, std::function<void(StatusOr<TrunkSnapshot>)> done);

// From the first of `sources` whose trunk is accepted (null: any is); waits. Errors: of one that may give a
// trunk another time, if there is one, and else the last one's.
using AcceptTrunk = std::function<Status(const TrunkSnapshot&)>;
StatusOr<TrunkSnapshot> fetch_trunk_now(peers::Transport& transport, const std::vector<TrunkSource>& sources,
                                        TrunkPart part, size_t numbers, base::Loop& loop,
                                        const AcceptTrunk& accept = nullptr);

// What came was no trunk, or not one that could be taken: asking again is of no use.
bool is_useless(const Status& status);

}  // namespace agora::swarm
