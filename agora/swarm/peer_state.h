// What a peer of a swarm says of itself in its directory record: roles, experts, room, load, progress.
//
//   directory.publish(encode(state));     AGORA_ASSIGN_OR_RETURN(PeerState s, decode_peer_state(record.body));
//
// The cost does not grow with the number of experts in a row: they are ranges. What does not fit into a record
// is said more coarsely (loads first, then versions), never left out. Any thread (values).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agora/base/ids.h"
#include "agora/base/result.h"

namespace agora::swarm {

// Experts first .. first + count - 1 of a layer, of one role, epoch and (least) version.
struct HeldRange {
  LayerId layer;
  int32_t first = 0;
  int32_t count = 0;
  bool leads = false;
  uint32_t epoch = 1;    // of the leadership; the higher wins
  uint64_t version = 0;  // optimizer steps taken; the least of the range
  // Rows in the last window by expert, in eighths of the layer's mean as the host knows it, 0 to 255; one
  // number for the whole range, or `count` of them.
  std::vector<uint8_t> loads = {};
  friend bool operator==(const HeldRange&, const HeldRange&) = default;
};

struct PeerState {
  bool host = false, trainer = false, server = false;
  std::vector<HeldRange> held = {};  // by (layer, first), not overlapping
  int32_t room = 0;             // experts it would still take
  uint32_t load_us = 0;         // how long a call would wait
  uint64_t step = 0;            // trainers: steps done; hosts: updates applied
  uint64_t trunk_version = 0;   // trainers, servers: averaging rounds
  float loss = 0;               // trainers: last; 0: none
  float rows_per_s = 0;
  uint16_t http_port = 0;  // metrics and dashboard; 0: none
  friend bool operator==(const PeerState&, const PeerState&) = default;
};

// At most kRecordBodyBytesMax bytes.
std::string encode(const PeerState& state);

// InvalidArgument: not a peer state, ranges that overlap or do not ascend, numbers out of range.
StatusOr<PeerState> decode_peer_state(std::string_view body);

}  // namespace agora::swarm
