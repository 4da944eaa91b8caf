// What peers of a swarm ask each other, by number. The numbers are the wire: never reused.
#pragma once

#include "agora/peers/transport/transport.h"

namespace agora::swarm {

using peers::Method;

// At every peer.
constexpr Method kGetSpec{16};    // the swarm's specification, checked by its hash
constexpr Method kGetStatus{17};  // counters, what is held, progress: for people
constexpr Method kGetTrace{18};   // spans of one request
// At hosts.
constexpr Method kMix{32};
constexpr Method kMixBackward{33};
constexpr Method kRelease{34};
constexpr Method kEndStep{35};
constexpr Method kGetSnapshot{36};  // one expert's weights and optimizer state, in chunks
constexpr Method kHandOver{37};     // a leaving leader asks a follower to lead
constexpr Method kAddExpert{38};
constexpr Method kRetireExpert{39};
// At trainers.
constexpr Method kGetTrunk{48};   // the trunk's weights at a version, in chunks
constexpr Method kAverage{49};    // rounds of trunk averaging
constexpr Method kGetCursor{51};  // where a trainer is in its data: for the swarm's manifest
// At servers.
constexpr Method kAsk{64};  // parts: tokens as they come
constexpr Method kExplain{65};

}  // namespace agora::swarm
