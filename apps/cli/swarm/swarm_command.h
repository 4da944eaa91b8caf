// The commands for a running swarm, each wired as in apps/cli/command.h.
#pragma once

#include "apps/cli/command.h"

namespace agora::cli {

void add_up_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result);
void add_host_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result);
void add_trainer_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result);
void add_serve_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result);
void add_spec_command(CLI::App& app, CommandResult& result);
void add_peers_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result);
void add_experts_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result);
void add_trace_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result);

}  // namespace agora::cli
