// The snapshots that a host keeps on its disk: what it starts from again, and what is left when no replica
// is.
//
//   SnapshotFolder folder("state/experts");
//   std::vector<ExpertName> there = folder.list();
//   folder.save(name, bytes);   folder.load(name, bytes_max);   folder.remove(name);
//
// One file for each expert, LAYER.EXPERT.safetensors, there whole or not at all. Nothing of it is needed to
// go on: a full disk is an error to count. Blocking; one thread at a time.
#pragma once

#include <string>
#include <vector>

#include "agora/base/bytes.h"
#include "agora/swarm/host/held_experts.h"

namespace agora::swarm {

constexpr size_t kSnapshotFilesMax = 1 << 17;  // listed

class SnapshotFolder {
 public:
  explicit SnapshotFolder(std::string path) : path_(std::move(path)) {}

  std::vector<ExpertName> list() const;                        // none where there is no such folder
  Status save(ExpertName expert, base::Bytes snapshot) const;  // makes the folder
  StatusOr<std::string> load(ExpertName expert, int64_t bytes_max) const;
  void remove(ExpertName expert) const;

 private:
  std::string file_of(ExpertName expert) const;
  std::string path_;
};

}  // namespace agora::swarm
