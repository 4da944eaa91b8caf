// agora serve: a peer that answers questions with the swarm's newest trunk and everybody's experts.
#include <iostream>
#include <random>

#include "absl/strings/str_cat.h"
#include "agora/serve/http_completions.h"
#include "agora/serve/swarm_server.h"
#include <CLI/CLI.hpp>

#include "apps/cli/machine.h"
#include "apps/cli/swarm/own_address.h"
#include "apps/cli/swarm/peer_process.h"
#include "apps/cli/swarm/swarm_command.h"

namespace agora::cli {
namespace {

struct ServeFlags {
  NodeFlags node;
  std::string completions;
  int threads = 0;
  bool exact = true;
};

void append_metrics(const serve::SwarmServerCounters& c, std::vector<Metric>& to) {
  add_counter(to, "agora_asked_total", "Questions that came.", c.answers.asked);
  add_counter(to, "agora_answered_total", "Answers given whole.", c.answers.answered);
  add_counter(to, "agora_answers_failed_total", "Answers that failed, or came too late.", c.answers.failed);
  add_counter(to, "agora_answers_abandoned_total", "Answers that nobody waited for any more.",
              c.answers.abandoned);
  add_counter(to, "agora_answer_tokens_total", "Tokens of answers.", c.answers.tokens);
  add_counter(to, "agora_answer_rows_total", "Rows through the model, prompts included.", c.answers.rows);
  add_counter(to, "agora_explained_total", "Texts explained.", c.explained);
  add_counter(to, "agora_questions_malformed_total", "Questions that could not be read.", c.malformed);
  add_counter(to, "agora_trunks_taken_total", "Newer trunks that were taken from trainers.", c.trunks.taken);
  add_counter(to, "agora_trunks_refused_total", "Trunks that could not be pulled or did not fit.",
              c.trunks.refused);
  add_gauge(to, "agora_answers_active", "Answers under way.", c.answers.active);
  add_gauge(to, "agora_answers_waiting", "Questions that wait.", c.answers.waiting);
  add_gauge(to, "agora_cache_bytes", "Of keys and values.", c.answers.cache_bytes);
}

Status serve(const ServeFlags& flags, const Interrupt& interrupt) {
  AGORA_RETURN_IF_ERROR(thread_count(flags.threads).status());  // before it looks for a swarm
  Machine machine(flags.threads);
  AGORA_ASSIGN_OR_RETURN(const auto node, Node::open(flags.node, interrupt));
  AGORA_ASSIGN_OR_RETURN(const kernels::Compute compute, machine.compute(node->spec().bf16 ? "bf16" : "f32"));
  const uint64_t seed = std::random_device()();
  swarm::Finder finder(node->loop(), node->directory(), node->spec(), Rng(seed));
  serve::SwarmServerSettings settings;
  settings.exact = flags.exact;
  settings.seed = seed;
  AGORA_ASSIGN_OR_RETURN(
      const auto server,
      serve::SwarmServer::create({node->loop(), node->transport(), node->directory(), finder, &node->trace()},
                                 node->spec(), compute, settings));
  swarm::MixReport sum;
  CounterRate rate;
  node->contribute([&](swarm::PeerState& state, std::vector<Metric>& metrics) {
    server->describe(state);
    const serve::SwarmServerCounters counters = server->counters();
    state.rows_per_s = rate.per_second(counters.answers.rows);
    append_metrics(counters, metrics);
    add_to(server->take_report(), sum);
    append_metrics(sum, metrics);
  });
  std::unique_ptr<serve::HttpCompletions> http;
  const NodeEnd end(*node);
  if (!flags.completions.empty()) {
    AGORA_ASSIGN_OR_RETURN(const peers::Endpoint listen, parse_listen("--completions", flags.completions));
    const auto ask = [&](serve::Question question, std::shared_ptr<serve::Asker> asker) {
      server->ask(std::move(question), std::move(asker));
    };
    AGORA_ASSIGN_OR_RETURN(
        http, serve::HttpCompletions::start(listen,
                                            {.model = server->model_name(),
                                             .ask = ask,
                                             .ready = [&] { return server->counters().trunks.any; },
                                             .clock = &node->loop(),
                                             .seed = seed},
                                            {}));
  }
  AGORA_RETURN_IF_ERROR(node->begin());
  say_up(*node, "server", flags.node.json);
  if (http != nullptr) {
    const std::string at = http->endpoint().text();
    say_event({{"event", "completions"}, {"at", at}}, flags.node.json);
    if (!flags.node.json) std::cout << "Completions: http://" << at << "/v1/completions" << std::endl;
  }
  wait_for_interrupt(interrupt);
  http.reset();
  say_event({{"event", "left"}}, flags.node.json);
  return absl::OkStatus();
}

}  // namespace

void add_serve_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command = app.add_subcommand(
      "serve", "Be a server: answer questions with a swarm's model: agora serve [TOML] [flags]");
  command->option_defaults()->always_capture_default()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  add_node_flags(*command, flags->node);
  command->add_flag("--json", flags->node.json, "JSON lines on standard output");
  command->add_option("--completions", flags->completions,
                      "HOST:PORT for POST /v1/completions; empty: none. It asks nobody who they are");
  command->add_flag("--exact,!--no-exact", flags->exact,
                    "answers do not depend on which host holds what; --no-exact: fewer bytes");
  command->add_option("--threads", flags->threads, "0: one per processor");
  command->footer(kConfigHelp);
  command->callback([flags, &interrupt, &result] { result.exit_code = report(serve(*flags, interrupt)); });
}

}  // namespace agora::cli
