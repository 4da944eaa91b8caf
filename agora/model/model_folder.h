// A model as a folder: config.json, safetensors, tokenizer; read into a trunk with its experts in this
// process.
//
//   AGORA_ASSIGN_OR_RETURN(LocalModel m, load_model("runs/machine_text", compute, Train::no));
//   m.model->evaluate(...);   m.tokenizer->encode(...);
//
//   AGORA_ASSIGN_OR_RETURN(LocalModel fresh, make_model(config, compute, Train::yes, rng));
//   AGORA_RETURN_IF_ERROR(save_model(fresh, dir));   // into an existing folder
//
// One thread at a time.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agora/model/model.h"
#include "agora/model/tokenizer.h"
#include "agora/moe/local_experts.h"

namespace agora::model {

struct LocalModel {
  std::unique_ptr<moe::LocalExperts> experts;
  std::unique_ptr<Model> model;  // borrows experts
  std::shared_ptr<const Tokenizer>
      tokenizer;  // shared with the data it was made from; null for models of images

  const ModelConfig& config() const { return model->config(); }
  void repack(const Compute& compute);
  // What optimizers move, the trunk's part and the experts'.
  std::vector<tensor::ParameterView> parameters();
  // Everything a checkpoint holds: parameters and selection biases.
  std::vector<tensor::ParameterView> tensors();
};

// Every expert of the model, whoever holds it.
moe::ExpertShape expert_shape(const ModelConfig& config);

// In a model's folder, and among the files that a swarm hands out.
constexpr const char* kConfigFile = "config.json";

// The config.json among the files that a swarm hands out. InvalidArgument: it is missing or wrong, or has
// other layers and experts than the swarm.
StatusOr<ModelConfig> config_among(const std::map<std::string, std::string>& files, int64_t layers,
                                   int64_t experts);

// First weights are drawn from rng. InvalidArgument: see validate(config). parts: see LocalExpertsConfig.
StatusOr<LocalModel> make_model(const ModelConfig& config, const Compute& compute, Train train,
                                const Rng& rng, int64_t parts = 1);

// NotFound: no such folder; InvalidArgument: a tensor is missing, of another shape than the config says, or
// one that the model has no place for (a bias, a scale); DataLoss: a torn or altered file, or a value that is
// not finite, with the tensor's name.
StatusOr<LocalModel> load_model(const std::string& dir, const Compute& compute, Train train);

// Writes config.json, model.safetensors (f32, with content hashes) and the tokenizer.
Status save_model(LocalModel& model, const std::string& dir);

}  // namespace agora::model
