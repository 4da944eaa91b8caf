// What a transport takes from one peer and from all of them, before and after they have proved who they are.
#pragma once

#include <cstddef>
#include <cstdint>

namespace agora::peers {

constexpr size_t kPayloadBytesMax = size_t{256} << 20;  // of a request, a part or a reply
// Between two chunks of a large payload others pass: at 10 Gbit/s a chunk takes 0.2 ms, at 100 Mbit/s 20 ms.
constexpr size_t kChunkBytes = size_t{256} << 10;
constexpr size_t kStatusTextBytesMax = 1024;  // of an error's message; cut beyond
// The time left travels in microseconds in 32 bits. A later deadline is brought forward to this.
constexpr int64_t kDeadlineNsMax = int64_t{3600} * 1'000'000'000;

struct TransportLimits {
  // Before the proof.
  int connections_waiting_max = 1024;    // open, but no TLS hello yet: the oldest makes room for the newest
  int connections_unproven_max = 256;    // from the hello to the proof: who of them makes room is in grpc/
  int64_t proof_ns_max = 5'000'000'000;  // for each of the two; and for who is thrown out to hear why
  // After it.
  int connections_max = 4096;
  // Two that dial each other at once have two; each of them may know the other at two places.
  int connections_per_peer_max = 4;
  // Of each of these:
  int calls_per_peer_max = 4096;                  // that we serve: beyond, ResourceExhausted
  size_t bytes_per_peer_max = size_t{512} << 20;  // requests being served and messages coming in
  size_t queue_bytes_per_peer_max = size_t{512}
                                    << 20;  // waiting to be sent, with kMessageBytes each: the same
  // A peer that could not be reached is not dialed again for this long, doubled each time.
  int64_t dial_again_ns_min = 50'000'000, dial_again_ns_max = 1'000'000'000;
  int64_t silence_ns_max = 10'000'000'000;  // a connection on which not even a ping is answered is dropped
};

}  // namespace agora::peers
