// From a recipe to a swarm's specification, and back to what a trainer has to know.
//
//   AGORA_ASSIGN_OR_RETURN(SwarmSpec spec, make_spec(options, rules, *task));
//   AGORA_ASSIGN_OR_RETURN(TrainOptions options, options_of(spec));     // at another machine
//
// What belongs to a machine (--data, --out, --threads) stays at home. Any thread.
#pragma once

#include "agora/swarm/spec.h"
#include "agora/train/task.h"

namespace CLI {
class App;
}

namespace agora::cli {

// What a swarm has to agree on beyond a training run.
struct SwarmRules {
  std::string updates = "async";  // async, sync
  int64_t rows_per_step = swarm::SwarmSpec().rows_per_step;  // async
  int32_t replicas = swarm::SwarmSpec().replicas;
  double loss_window = swarm::SwarmSpec().loss_window_s;
  int64_t experts_max = 0;  // 0: four times --experts
};

void add_rule_flags(CLI::App& command, SwarmRules& rules);

// Of a model that trainers can make. InvalidArgument names the flag, or the config's key.
StatusOr<swarm::SwarmSpec> make_spec(const train::TrainOptions& options, const SwarmRules& rules,
                                     const train::Task& task);

// InvalidArgument: the specification's recipe is none of ours.
StatusOr<train::TrainOptions> options_of(const swarm::SwarmSpec& spec);

// null: a model of images.
StatusOr<train::SharedTokenizer> tokenizer_of(const swarm::SwarmSpec& spec);

Status write_spec(const swarm::SwarmSpec& spec, const std::string& file);
StatusOr<swarm::SwarmSpec> read_spec_file(const std::string& file);

}  // namespace agora::cli
