// The commands for a running swarm, each wired as in apps/cli/command.h.
#pragma once

#include <string>

#include "apps/cli/command.h"
#include "apps/cli/swarm/node.h"

namespace agora::cli {

struct TrainerFlags {
  NodeFlags node;
  std::string data;
  std::string resume;  // folder of a saved swarm
  int threads = 0;
  int64_t steps = 0;          // 0: the recipe's
  double minutes = 0;         // 0: the recipe's
  std::string rows = "bf16";  // how rows travel: f32, bf16, int8
  bool stay = false;
  double hosts_seconds = 120;
};

void add_trainer_flags(CLI::App& command, TrainerFlags& flags);  // those that agora train has not
Status run_trainer(const TrainerFlags& flags, const Interrupt& interrupt);

void add_up_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result);
void add_host_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result);
void add_trainer_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result);
void add_serve_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result);
void add_spec_command(CLI::App& app, CommandResult& result);
void add_peers_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result);
void add_experts_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result);
void add_expert_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result);
void add_trace_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result);

}  // namespace agora::cli
