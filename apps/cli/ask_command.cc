#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agora/base/clock.h"
#include "agora/model/model_folder.h"
#include "agora/serve/answer_text.h"
#include "agora/serve/generate.h"
#include <nlohmann/json.hpp>

#include "apps/cli/command.h"
#include "apps/cli/flag_checks.h"
#include "apps/cli/json_line.h"
#include "apps/cli/machine.h"
#include "apps/cli/swarm/swarm_ask.h"
#include "apps/cli/terminal_text.h"

namespace agora::cli {
namespace {

struct AskFlags {
  std::optional<std::string> first, second;  // MODEL and text; with --swarm the text alone
  int64_t tokens = 200;
  serve::SamplerSettings sampler;
  std::vector<std::string> stop;
  int threads = 0;
  std::string precision = "bf16";
  bool json = false;
  bool swarm = false;
  PlaceFlags place;
};

std::string prompt_of(const std::string& text) {
  if (text != "-") return text;
  return std::string(std::istreambuf_iterator<char>(std::cin), {});
}

// Writes what can be shown at once, so that the answer is seen while it is made; what steers a terminal is
// shown there, not obeyed.
Status stream(const AskFlags& flags, const model::LocalModel& model, serve::Generation& generation,
              const Interrupt& interrupt) {
  serve::AnswerText text(*model.tokenizer, flags.stop, flags.tokens);
  std::string answer;
  const bool terminal = isatty(STDOUT_FILENO) == 1;
  VisibleLines lines;
  const auto show = [&](const std::string& piece) {
    answer += piece;
    if (!flags.json) std::cout << (terminal ? lines.take(piece) : piece) << std::flush;
  };
  const RealClock clock;
  const int64_t begin = clock.now_ns();
  while (!text.finish() && !interrupt.load()) {
    AGORA_ASSIGN_OR_RETURN(const int32_t token, generation.next());
    show(text.take(token));
  }
  if (!text.finish()) show(text.rest());
  const std::string reason(text.finish() ? serve::name_of(*text.finish()) : "interrupted");
  const double seconds = static_cast<double>(clock.now_ns() - begin) * 1e-9;
  const double rate = static_cast<double>(text.tokens()) / seconds;
  if (flags.json) {
    const nlohmann::ordered_json line{
        {"answer", answer}, {"tokens", text.tokens()}, {"finish", reason}, {"tokens_per_second", rate}};
    std::cout << json_line(line) << "\n";
  } else {
    std::cout << std::endl;
    if (isatty(STDERR_FILENO) == 1) {
      std::cerr << absl::StrFormat("[%d tokens, %.0f a second, ended by %s]\n", text.tokens(), rate, reason);
    }
  }
  return absl::OkStatus();
}

Status ask(const AskFlags& flags, const Interrupt& interrupt) {
  AGORA_RETURN_IF_ERROR(validate(flags.sampler, serve::Spelling::flag));
  Machine machine(flags.threads);
  AGORA_ASSIGN_OR_RETURN(const kernels::Compute compute, machine.compute(flags.precision));
  AGORA_ASSIGN_OR_RETURN(model::LocalModel model,
                         model::load_model(*flags.first, compute, tensor::Train::no));
  if (model.tokenizer == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(*flags.first, ": expected a model of text, found one of images"));
  }
  const std::string prompt = prompt_of(*flags.second);
  AGORA_ASSIGN_OR_RETURN(std::vector<int32_t> ids, model.tokenizer->encode_prompt(prompt));
  AGORA_ASSIGN_OR_RETURN(const auto generation,
                         serve::Generation::start(*model.model, {.compute = compute}, std::move(ids),
                                                  flags.sampler, flags.tokens));
  if (!flags.json) std::cout << prompt << std::flush;
  return stream(flags, model, *generation, interrupt);
}

// The servers of a swarm answer; there is no model here.
Status ask_elsewhere(const AskFlags& flags, const Interrupt& interrupt) {
  if (!flags.first || flags.second) {
    return text_of_swarm_expected("ask");
  }
  AGORA_RETURN_IF_ERROR(validate(flags.sampler, serve::Spelling::flag));
  return ask_swarm(flags.place,
                   {.prompt = prompt_of(*flags.first),
                    .tokens_max = flags.tokens,
                    .sampler = flags.sampler,
                    .stops = flags.stop},
                   flags.json, interrupt);
}

Status ask_here(const AskFlags& flags, const Interrupt& interrupt) {
  if (flags.second) return ask(flags, interrupt);
  return absl::InvalidArgumentError("expected agora ask MODEL \"text\", or agora ask --swarm \"text\"");
}

}  // namespace

void add_ask_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result) {
  auto flags = std::make_shared<AskFlags>();
  CLI::App* command =
      app.add_subcommand("ask", "Let a model go on with a text: agora ask MODEL|--swarm \"text\"");
  command->option_defaults()->always_capture_default();
  command->add_option("model", flags->first, "folder of a model; not with --swarm");
  command->add_option("text", flags->second, "what to go on from; - reads standard input");
  command->add_flag("--swarm", flags->swarm, "ask the servers of a running swarm");
  add_place_flags(*command, flags->place);
  command->add_option("--tokens", flags->tokens, "answer at most this many")->check(above_zero());
  command->add_option("--temperature", flags->sampler.temperature, "0 takes the likeliest token each time");
  command->add_option("--top-p", flags->sampler.top_p, "keep the likeliest tokens that hold this share");
  command->add_option("--top-k", flags->sampler.top_k, "keep this many tokens; 0: all");
  command->add_option("--repetition-penalty", flags->sampler.repetition_penalty, "1: none");
  command->add_option("--seed", flags->sampler.seed, "the same seed gives the same answer");
  command->add_option("--stop", flags->stop, "end before this text; may be given several times")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--threads", flags->threads, "0: one per processor");
  command->add_option("--precision", flags->precision, "bf16 or f32");
  command->add_flag("--json", flags->json, "one JSON object instead of text");
  command->callback([flags, &interrupt, &result] {
    result.exit_code = report(flags->swarm ? ask_elsewhere(*flags, interrupt) : ask_here(*flags, interrupt));
  });
}

}  // namespace agora::cli
