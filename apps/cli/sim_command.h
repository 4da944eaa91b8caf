// `agora sim`: runs a scenario of the simulator and prints what came of it.
#pragma once

#include "apps/cli/command.h"

namespace agora::cli {

void add_sim_command(CLI::App& app, CommandResult& result);

}  // namespace agora::cli
