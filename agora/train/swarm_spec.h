// A swarm's specification and its model: the one made from the other.
//
//   swarm::SwarmSpec spec = spec_of(config);   spec.name = "my text";
//   AGORA_ASSIGN_OR_RETURN(const ModelConfig trunk, trunk_config(spec));       // what its trainers train
//
// Pure.
#pragma once

#include "agora/model/config.h"
#include "agora/swarm/spec.h"

namespace agora::train {

// Of a swarm that holds this model's experts, and does not grow; the rest is as by default.
swarm::SwarmSpec spec_of(const model::ModelConfig& config);

// Its model; in a swarm that may grow with room for spec.experts_max in its gates. InvalidArgument: see
// model::config_among().
StatusOr<model::ModelConfig> trunk_config(const swarm::SwarmSpec& spec);

}  // namespace agora::train
