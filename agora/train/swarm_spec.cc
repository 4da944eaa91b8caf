#include "agora/train/swarm_spec.h"

#include "agora/model/model_folder.h"

namespace agora::train {

swarm::SwarmSpec spec_of(const model::ModelConfig& config) {
  swarm::SwarmSpec spec;
  spec.files[model::kConfigFile] = model::format_config(config);
  spec.layers = config.num_hidden_layers;
  spec.experts = spec.experts_max = config.gate.experts;
  spec.shape = model::expert_shape(config);
  return spec;
}

StatusOr<model::ModelConfig> trunk_config(const swarm::SwarmSpec& spec) {
  AGORA_ASSIGN_OR_RETURN(model::ModelConfig config,
                         model::config_among(spec.files, spec.layers, spec.experts));
  if (spec.updates == swarm::UpdateMode::synchronous) return config;
  return model::with_room(config, spec.experts_max);
}

}  // namespace agora::train
