// One expert's weights, moments, version and epoch as bytes: what followers pull and the disk keeps.
//
//   AGORA_ASSIGN_OR_RETURN(std::vector<std::byte> bytes, write_snapshot(head, expert));
//   AGORA_ASSIGN_OR_RETURN(Snapshot snapshot, Snapshot::open(bytes));        // parsed, every hash checked
//   AGORA_RETURN_IF_ERROR(snapshot.load(expert));                            // all of it or nothing
//
// A safetensors file: up_proj.weight, up_proj.weight.first, up_proj.weight.second (the moments), ... in f32,
// a hash for each and for the whole, the head in the metadata. 12 bytes a weight. Any tool for such files
// opens it. Bytes may come from anybody: shapes, hashes, finiteness and the sign of second moments are
// checked. Any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "agora/moe/expert/expert.h"
#include "agora/swarm/host/applied_updates.h"
#include "agora/swarm/host/held_experts.h"
#include "agora/weights/safetensors.h"

namespace agora::swarm {

struct SnapshotHead {
  ExpertName name;
  uint32_t epoch = 0;
  uint64_t version = 0;
  AppliedUpdates applied;    // what is in it
  float learning_rate = -1;  // of its last asynchronous step; below 0: it has taken none
};

// What an expert remembers over all its leaders: a trainer's gradients of ten seconds, in 3 KiB.
constexpr AppliedLimits kAppliedLimits{.keys_per_trainer = 128, .trainers = 64};

// Beyond this no expert of the shape has a snapshot.
int64_t snapshot_bytes_max(const moe::ExpertShape& shape);

// What kGetSnapshot is asked for: this blob, the expert as it is when its first chunk is asked for; or
// kHeadsKey, what the host holds (host_messages.h).
struct SnapshotKey {
  ExpertName expert;
  bool last = false;  // the leader's last: only the host that it is handing over to has it
};
std::string snapshot_key(ExpertName expert);
std::string last_snapshot_key(ExpertName expert);
StatusOr<SnapshotKey> read_snapshot_key(std::string_view key);
constexpr std::string_view kHeadsKey = "heads";

StatusOr<std::vector<std::byte>> write_snapshot(const SnapshotHead& head, moe::Expert& expert);

class Snapshot {
 public:
  // The bytes must outlive it. InvalidArgument: not a snapshot; DataLoss: not what was written.
  static StatusOr<Snapshot> open(base::Bytes bytes);

  const SnapshotHead& head() const { return head_; }
  // Weights and moments; not the version, and repack() is the caller's. An error has changed nothing.
  Status load(moe::Expert& expert) const;

 private:
  SnapshotHead head_;
  std::unique_ptr<weights::SafetensorsFile> file_;
};

}  // namespace agora::swarm
