// Things too large for one message (snapshots, trunks), fetched chunk by chunk and checked by their hash.
//
//   transport.serve(kGetTrunk, [&](auto call) { serve_blob(*call, find); });
//   fetch_blob(transport, clock, {.to = peer, .at = endpoint, .method = kGetTrunk, .deadline_ns = ...}, key,
//              bytes_max, [](StatusOr<peers::Payload> bytes) { ... });
//
// A key is the method's own business; it should name a version, so that a blob does not change under the one
// who fetches it. ceil(bytes / kBlobChunkBytes) round trips, one after the other. Any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "agora/base/clock.h"
#include "agora/peers/transport/transport.h"
#include "agora/weights/hash.h"

namespace agora::swarm {

constexpr uint32_t kBlobChunkBytes = 1 << 20;
constexpr size_t kBlobKeyBytesMax = 256;
// Of a chunk, at 70 kB/s. Who has stopped in the middle is not waited for as long as a whole blob may take.
constexpr int64_t kBlobChunkNsMax = 15'000'000'000;
// Of so many bytes, from who goes on sending them.
constexpr int64_t blob_ns_max(uint64_t bytes) {
  return static_cast<int64_t>(bytes / kBlobChunkBytes + 1) * kBlobChunkNsMax;
}

struct Blob {
  peers::Payload bytes;
  weights::Digest hash{};  // SHA-256 of the bytes
};
Blob blob_of(peers::Payload bytes);  // computes the hash

struct BlobRequest {
  std::string key;
  uint64_t offset = 0;
  uint32_t bytes_max = kBlobChunkBytes;
};
peers::Payload encode(const BlobRequest& request);
StatusOr<BlobRequest> read_blob_request(base::Bytes bytes);

struct BlobChunk {
  uint64_t total = 0;
  weights::Digest hash{};  // of the whole
  base::Bytes bytes;       // from the asked offset on; borrowed
};
peers::Payload encode(const BlobChunk& chunk);
StatusOr<BlobChunk> read_blob_chunk(base::Bytes bytes);

// Answers one call: reads its request, finds the blob, replies with the chunk. NotFound is the source's to
// say.
using BlobSource = std::function<StatusOr<Blob>(std::string_view key)>;
void serve_blob(peers::IncomingCall& call, const BlobSource& source);

// done runs once, on a thread of the transport. InvalidArgument: more than bytes_max, or no chunk; DataLoss:
// not the bytes of the hash; Unavailable: it changed between two chunks, fetch again; and the transport's
// errors, of which ResourceExhausted is a peer that has too much in hand.
// settings.deadline_ns is of the whole, by the clock, which must live until done has run.
void fetch_blob(peers::Transport& transport, const Clock& clock, const peers::CallSettings& settings,
                std::string key, uint64_t bytes_max, std::function<void(StatusOr<peers::Payload>)> done);

}  // namespace agora::swarm
