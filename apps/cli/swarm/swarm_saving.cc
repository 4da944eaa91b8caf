#include "apps/cli/swarm/swarm_saving.h"

#include "agora/swarm/census.h"
#include "agora/swarm/finder/finder.h"
#include "agora/swarm/remote_experts.h"
#include "agora/swarm/trunk_exchange.h"
#include "agora/train/swarm_save.h"
#include "agora/train/swarm_spec.h"

#include "apps/cli/swarm/swarm_recipe.h"

namespace agora::cli {

StatusOr<swarm::TrunkVersion> save_whole_swarm(Node& node, const std::string& dir) {
  const swarm::SwarmSpec& spec = node.spec();
  AGORA_ASSIGN_OR_RETURN(const model::ModelConfig config, train::trunk_config(spec));
  AGORA_ASSIGN_OR_RETURN(const train::SharedTokenizer tokenizer, tokenizer_of(spec));
  train::TrainState state;
  AGORA_ASSIGN_OR_RETURN(state.options, options_of(spec));
  swarm::Finder finder(node.loop(), node.directory(), spec, Rng(1));
  swarm::RemoteExperts experts(node.loop(), node.transport(), finder, spec,
                               {});  // for the trunk's outline only
  AGORA_ASSIGN_OR_RETURN(const auto trunk, model::Model::create(config, experts, tensor::Train::yes));
  swarm::TrunkLayout layout(trunk->parameters(), trunk->selection_biases());
  AGORA_ASSIGN_OR_RETURN(
      const swarm::TrunkSnapshot snapshot,
      swarm::fetch_trunk_now(node.transport(), swarm::trunk_sources(node.directory().records()),
                             swarm::TrunkPart::values, layout.size(), node.loop(),
                             [&](const swarm::TrunkSnapshot& newest) { return layout.load(newest); }));
  state.step = static_cast<int64_t>(snapshot.step);
  AGORA_RETURN_IF_ERROR(train::save_swarm({.loop = node.loop(),
                                           .transport = node.transport(),
                                           .directory = node.directory(),
                                           .finder = finder,
                                           .spec = spec,
                                           .trunk = *trunk,
                                           .tokenizer = tokenizer,
                                           .state = state,
                                           .version = snapshot.version},
                                          dir));
  return snapshot.version;
}

swarm::TrunkVersion newest_trunk(Node& node) {
  const std::vector<swarm::TrunkSource> sources = swarm::trunk_sources(node.directory().records());
  return sources.empty() ? swarm::TrunkVersion{} : sources.front().version;
}

size_t retired_experts(Node& node) {
  return swarm::take_census(node.directory().records(), node.spec()).retired.size();
}

}  // namespace agora::cli
