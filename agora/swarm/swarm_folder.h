// A whole swarm on disk: a model's folder, the optimizers' state beside it, and a manifest of who was where.
//
//   AGORA_ASSIGN_OR_RETURN(auto folder, SwarmFolder::open("runs/swarm", spec));
//   for (const ManifestExpert& e : folder->manifest().experts) ...
//   HostOptions options;                             // a host whose experts nobody else has begins from it
//   options.first = [&](ExpertName expert) { return folder->snapshot(expert); };
//
// config.json, model.safetensors, tokenizer: what `agora ask`, `eval` and other tools open.
// optimizer.safetensors: both moments of every parameter ("first:NAME", "second:NAME"). training_state.json:
// the options and counters of the trainer that wrote it. manifest.json: swarm, trunk version, every expert's
// version, epoch and the SHA-256 of the snapshot that it came as, its number in the swarm and the one in the
// folder, what was retired, and where each trainer was in its data. Any thread may read.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agora/base/rng.h"
#include "agora/swarm/host/held_experts.h"
#include "agora/swarm/spec.h"
#include "agora/swarm/trunk.h"
#include "agora/weights/weight_folder.h"

namespace agora::swarm {

struct ManifestExpert {
  ExpertName name;
  uint32_t epoch = 0;
  uint64_t version = 0;
  std::string sha256;        // of the snapshot's bytes
  ExpertId saved_as;         // its number in the folder: there experts are numbered without gaps
  float learning_rate = -1;  // see SnapshotHead
};

struct Manifest {
  std::string swarm;  // SwarmId
  TrunkVersion trunk;
  uint64_t step = 0;                                 // of the trainer that wrote it
  std::vector<ManifestExpert> experts;               // by name
  std::vector<ExpertName> retired;                   // numbers that are not given again
  std::map<std::string, agora::Rng::State> cursors;  // data, by trainer's peer id
};

constexpr const char* kManifestFile = "/manifest.json";
constexpr const char* kOptimizerFile = "/optimizer.safetensors";

std::string format_manifest(const Manifest& manifest);
// NotFound: no manifest there; InvalidArgument: not one that this program wrote.
StatusOr<Manifest> read_manifest(const std::string& dir);

// "model.layers.0.mlp.experts.3", as in a model's folder.
std::string expert_path(ExpertName expert);
// The names of an optimizer's moments of a parameter.
std::string first_moment(const std::string& parameter);
std::string second_moment(const std::string& parameter);

class SwarmFolder {
 public:
  // FailedPrecondition: the folder is of another swarm's experts (their number or shape).
  static StatusOr<std::unique_ptr<SwarmFolder>> open(const std::string& dir, const SwarmSpec& spec);

  const Manifest& manifest() const { return manifest_; }
  // Weights, moments, epoch and version, as host/snapshot.h writes them. NotFound: not in the manifest.
  // DataLoss: a torn or altered file, with the tensor's name.
  StatusOr<std::vector<std::byte>> snapshot(ExpertName expert) const;

 private:
  SwarmFolder(Manifest manifest, const SwarmSpec& spec)
      : manifest_(std::move(manifest)), shape_(spec.shape) {}

  Manifest manifest_;
  moe::ExpertShape shape_;
  std::unique_ptr<weights::WeightFolder> model_;
  std::unique_ptr<weights::SafetensorsFile> optimizer_;
};

}  // namespace agora::swarm
