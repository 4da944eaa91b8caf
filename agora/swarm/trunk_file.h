// A trunk on its trainer's disk, for the day on which all who have it end at once.
//
//   AGORA_RETURN_IF_ERROR(write_trunk_file("agora-state/trunk", snapshot));    // the old one or the new one
//   StatusOr<TrunkSnapshot> kept = read_trunk_file("agora-state/trunk");       // NotFound: there is none
//
// The bytes of encode() and their SHA-256. Any thread; may wait for the disk.
#pragma once

#include <string>

#include "agora/swarm/trunk.h"

namespace agora::swarm {

Status write_trunk_file(const std::string& path, const TrunkSnapshot& snapshot);
// DataLoss: torn or altered.
StatusOr<TrunkSnapshot> read_trunk_file(const std::string& path);

}  // namespace agora::swarm
