// How the sub-commands are wired: each adds itself to the app; its callback leaves an exit code behind.
//
//   CommandResult result;   add_train_command(app, interrupt, result);
//   app.parse(...);   return result.exit_code;
#pragma once

#include <atomic>

#include "agora/base/result.h"

#include "apps/cli/exit_code.h"

namespace CLI {
class App;
}

namespace agora::cli {

// Set by the signal handler (Ctrl-C, SIGTERM) of commands that look at it between steps (main.cc).
using Interrupt = std::atomic<bool>;

struct CommandResult {
  int exit_code = kExitDone;
};

void add_train_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result);
void add_ask_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result);
void add_explain_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result);
void add_eval_command(CLI::App& app, CommandResult& result);
void add_inspect_command(CLI::App& app, CommandResult& result);
void add_bench_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result);

}  // namespace agora::cli
