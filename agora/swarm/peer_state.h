// What a peer of a swarm says of itself in its directory record: roles, experts, room, load, progress.
//
//   directory.publish(encode(state));
//   AGORA_ASSIGN_OR_RETURN(PeerState s, decode_peer_state(record.body));
//
// The cost does not grow with the number of experts in a row: they are ranges. What does not fit into a
// record is said more coarsely, never left out: first neighbours share the least version, each with its load;
// then a layer's experts are a bitmap with one epoch (the greatest), one version (the least) and their loads;
// then loads are not told, in ranges if they fit and else in bitmaps. So 500 experts of eight layers tell
// their loads, and any 1,000 of one layer of 4,096 fit. Beyond that newcomers are left out; holdings that are
// still scattered over too many layers lose their last layers, and fits() says so: placement gives experts in
// blocks (placement.h), which keeps them together. Any thread (values).
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
  // Rows that came to each expert here lately, as load_of(); `count` of them, or one that all have, or none:
  // not told. Never a mean: gates would take the range for balanced.
  std::vector<uint8_t> loads = {};
  friend bool operator==(const HeldRange&, const HeldRange&) = default;
};

// Of expert first + i; below 0: not told.
inline int load_at(const HeldRange& range, int32_t i) {
  if (range.loads.empty()) return -1;
  return range.loads[range.loads.size() == 1 ? 0 : static_cast<size_t>(i)];
}

// Rows a second in one byte: eighths of log2(1 + rows), so to within 5 %. Loads of one expert at several
// hosts add up as rows, not as bytes.
uint8_t load_of(double rows_per_s);
double rows_per_s_of(uint8_t load);

// Experts that were retired: gates do not choose them, hosts do not hold them, their numbers are not given
// again.
struct RetiredRange {
  LayerId layer;
  int32_t first = 0;
  int32_t count = 0;
  friend auto operator<=>(const RetiredRange&, const RetiredRange&) = default;
};

// A copy of another expert that was added lately: a gate begins to score it as it scores its source.
struct Newcomer {
  LayerId layer;
  ExpertId expert;
  ExpertId source;
  friend auto operator<=>(const Newcomer&, const Newcomer&) = default;
};

constexpr size_t kRetiredRangesMax = 32;
constexpr size_t kNewcomersMax = 64;
constexpr int32_t kExpertNumberMax = 1 << 20;

struct PeerState {
  bool host = false, trainer = false, server = false;
  std::vector<HeldRange> held = {};  // by (layer, first), not overlapping
  // That this peer knows of: hosts pass them on. At most kRetiredRangesMax.
  std::vector<RetiredRange> retired = {};
  std::vector<Newcomer> newcomers = {};  // that were added here. At most kNewcomersMax
  int32_t room = 0;                      // experts it would still take
  uint32_t load_us = 0;                  // how long a call would wait
  uint64_t step = 0;                     // trainers: steps done; hosts: updates applied
  uint64_t trunk_version = 0;            // trainers, servers: averaging rounds of their trunk ...
  uint64_t trunk_rows = 0;               // ... and the rows that it learned from: by these it is fresher
  float loss = 0;                        // trainers: last; 0: none
  float rows_per_s = 0;
  uint16_t http_port = 0;  // metrics and dashboard; 0: none
  friend bool operator==(const PeerState&, const PeerState&) = default;
};

// At most kRecordBodyBytesMax bytes. Ranges that do not ascend are a bug of the caller's (CHECK).
std::string encode(const PeerState& state);
// Whether encode() names every held expert.
bool fits(const PeerState& state);

// Whether all peers of a large swarm should know of this one: it holds experts, trains or serves. A host
// that only has room, or who only asks, need not be known (peers/directory/view.h).
bool matters_to_all(std::string_view body);

// InvalidArgument: not a peer state, ranges that overlap or do not ascend, numbers out of range.
StatusOr<PeerState> decode_peer_state(std::string_view body);

}  // namespace agora::swarm
