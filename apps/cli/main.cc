// agora: one binary; main() wires everything.
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "agora/peers/transport/grpc/grpc_transport.h"
#include <CLI/CLI.hpp>
#include <sys/resource.h>

#include "apps/cli/classic.h"
#include "apps/cli/command.h"
#include "apps/cli/exit_code.h"
#include "apps/cli/recipe.h"
#include "apps/cli/sim_command.h"
#include "apps/cli/swarm/swarm_command.h"

namespace {

agora::cli::Interrupt interrupt{false};  // a signal handler can reach nothing but a global

// The first Ctrl-C asks; the second, when the answer takes too long, ends the process as it would have at
// first. SIGTERM only asks: a child gets one for each thread of a parent that is killed (child_process.h).
extern "C" void on_signal(int signal_number) {
  interrupt.store(true);
  if (signal_number == SIGINT) std::signal(signal_number, SIG_DFL);
}

void ask_before_end() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}

int run(int argc, char** argv) {
  using namespace agora::cli;  // NOLINT: one function's worth of names
  CLI::App app("agora: trains, asks and explains mixtures of experts", "agora");
  app.set_version_flag("--version", "agora 0.1.0");
  app.require_subcommand(1);
  app.get_formatter()->column_width(32);
  app.footer(
      "Examples:\n"
      "  agora up recipes/machine_text                a swarm on this machine, trained on its text\n"
      "  agora ask --swarm \"int main(\"               let it go on, from another terminal\n"
      "  agora host --join HOST:PORT                  one host more, on any machine\n"
      "  agora train recipes/machine_text --data DIR  in one process; a sub-folder is a domain\n"
      "  agora ask runs/machine_text \"int main(\"      let that model go on\n"
      "  agora explain runs/machine_text \"int main(\"  which experts, and why\n"
      "Exit codes: 0 done, 1 failed, 2 bad input.");
  CommandResult result;
  // Whoever looks at the interrupt is asked to end; the others end at once, as any program.
  const auto ask = [](CLI::App* command) { command->preparse_callback([](size_t) { ask_before_end(); }); };
  const auto add_asked = [&](void add(CLI::App&, const Interrupt&, CommandResult&)) {
    add(app, interrupt, result);
    ask(app.get_subcommands({}).back());
  };
  add_asked(add_train_command);
  add_asked(add_ask_command);
  add_explain_command(app, interrupt, result);  // looks where a swarm explains; nothing is lost there either
  add_eval_command(app, result);
  add_inspect_command(app, result);
  add_classic_command(app, result);
  add_bench_command(app, interrupt, result);
  ask(app.get_subcommand("bench")->get_subcommand("swarm"));
  add_asked(add_up_command);
  add_asked(add_host_command);
  add_asked(add_trainer_command);
  add_asked(add_serve_command);
  add_asked(add_peers_command);
  add_asked(add_experts_command);
  add_asked(add_expert_command);
  add_asked(add_trace_command);
  add_spec_command(app, result);
  add_sim_command(app, result);

  auto args = with_recipe({argv + 1, argv + argc}, app);
  if (!args.ok()) return report(args.status());
  std::reverse(args->begin(), args->end());  // CLI11 takes them from the back
  try {
    app.parse(*std::move(args));
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitDone : kExitBadInput;
  }
  return result.exit_code;
}

// Messages of some 100 KiB come and go hundreds of times a second. Left alone, malloc gives such memory back
// to the system each time, which clears its pages when they are asked for again: hundredths of all work.
void keep_memory() {
  constexpr int kMappedBytesMin = 16 << 20, kSpareBytesMax = 64 << 20;
  mallopt(M_MMAP_THRESHOLD, kMappedBytesMin);
  mallopt(M_TRIM_THRESHOLD, kSpareBytesMax);
}

// Threads that wake do not take the processor from one that computes; they wait until it has had its turn.
// Where several peers share a machine's processors a message is otherwise paid for with caches gone cold
// (docs/decisions/015-experts-at-home.md). Threads and processes that are started later take after this one.
// Who started the program under another policy knows why.
void compute_in_whole_turns() {
  if (::sched_getscheduler(0) != SCHED_OTHER) return;
  const sched_param no_priority{};
  ::sched_setscheduler(0, SCHED_BATCH, &no_priority);  // refused: as any program
}

// A connection takes two files. What shells let a program open by default (1,024) is for select(), which
// nothing here waits with.
void open_as_many_files_as_allowed() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);  // refused: as any program
}

// A stream that the caller has closed takes what is written and gives nothing; left closed, its number would
// be that of the next file, and what is printed would be written into it.
void open_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) == -1) ::open("/dev/null", O_RDWR);  // the lowest number that is free: this
  }
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_streams();
  std::signal(SIGPIPE, SIG_IGN);
  keep_memory();
  compute_in_whole_turns();
  open_as_many_files_as_allowed();
  agora::peers::prepare_grpc();
  try {
    return agora::cli::exit_code_after_output(run(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "agora: unexpected: %s\n", error.what());
    return agora::cli::kExitFailed;
  }
}
