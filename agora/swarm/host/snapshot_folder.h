// The snapshots that a host keeps on its disk: what it starts from again, and what is left when no replica
// is. Beside them what it knows to be retired: where all hosts end at once, nobody else does.
//
//   SnapshotFolder folder("state/experts", files);   // files null: the machine's
//   std::vector<ExpertName> there = folder.list();
//   folder.save(name, bytes);   folder.load(name, bytes_max);   folder.remove(name);
//   folder.save_retired(names, spec.id());   folder.load_retired(spec.id());
//
// One file for each expert, LAYER.EXPERT.safetensors, and `retired`, there whole or not at all. Nothing of it
// is needed to go on: a full disk is an error to count. Blocking; one thread at a time.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "agora/base/bytes.h"
#include "agora/peers/peer_id.h"
#include "agora/swarm/host/held_experts.h"
#include "agora/weights/files.h"

namespace agora::swarm {

constexpr size_t kSnapshotFilesMax = 1 << 17;  // listed

class SnapshotFolder {
 public:
  SnapshotFolder(std::string path, std::shared_ptr<weights::Files> files)
      : path_(std::move(path)),
        files_(files == nullptr ? std::make_shared<weights::RealFiles>() : std::move(files)) {}

  std::vector<ExpertName> list() const;                        // none where there is no such folder
  Status save(ExpertName expert, base::Bytes snapshot) const;  // makes the folder
  StatusOr<std::string> load(ExpertName expert, int64_t bytes_max) const;
  void remove(ExpertName expert) const;

  Status save_retired(std::span<const ExpertName> retired, const peers::SwarmId& swarm) const;
  // None where nothing was retired yet. DataLoss: torn or altered, or another swarm's.
  StatusOr<std::vector<ExpertName>> load_retired(const peers::SwarmId& swarm) const;

 private:
  std::string path_of(ExpertName expert) const;
  std::string path_;
  std::shared_ptr<weights::Files> files_;  // shared with the host's options
};

}  // namespace agora::swarm
