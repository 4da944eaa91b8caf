#include <unistd.h>

#include <iostream>
#include <optional>

#include "absl/strings/str_cat.h"
#include "agora/weights/atomic_file.h"

#include "apps/cli/command.h"
#include "apps/cli/explain_gather.h"
#include "apps/cli/explain_json.h"
#include "apps/cli/explain_page.h"
#include "apps/cli/explain_text.h"
#include "apps/cli/flag_checks.h"
#include "apps/cli/machine.h"
#include "apps/cli/model_data.h"
#include "apps/cli/swarm/swarm_explain.h"

namespace agora::cli {
namespace {

struct ExplainFlags {
  std::optional<std::string> first;  // MODEL; with --swarm the text
  std::string text;
  std::string data;
  bool domains = false;
  bool ablate = true;
  int64_t rows = 65536;
  int64_t ablation_rows = 8192;
  std::string html;
  int threads = 0;
  std::string precision = "bf16";
  bool json = false;
  bool swarm = false;
  PlaceFlags place;
};

StatusOr<ExplainReport> gather(const ExplainFlags& flags) {
  Machine machine(flags.threads);
  AGORA_ASSIGN_OR_RETURN(const kernels::Compute compute, machine.compute(flags.precision));
  AGORA_ASSIGN_OR_RETURN(model::LocalModel model,
                         model::load_model(*flags.first, compute, tensor::Train::no));
  ExplainReport report;
  report.model = *flags.first;
  report.summary = model_summary(model.config());
  if (model.tokenizer != nullptr) {
    report.token_text = [tokenizer = model.tokenizer](int32_t id) {
      return std::string(tokenizer->token_bytes(id));
    };
  }
  if (!flags.text.empty()) {
    AGORA_ASSIGN_OR_RETURN(report.trace, trace_text(model, compute, flags.text));
  }
  // Without a text there is only the data to explain.
  if (!flags.data.empty() || flags.domains || flags.text.empty()) {
    AGORA_ASSIGN_OR_RETURN(const auto task, data_for(*flags.first, model, flags.data, machine.pool()));
    for (const train::DomainSummary& d : task->domains()) report.domains.push_back(d.name);
    AGORA_ASSIGN_OR_RETURN(report.specialisation, specialisation_of(model, compute, *task, flags.rows, 1));
    if (flags.ablate) {
      AGORA_ASSIGN_OR_RETURN(report.ablation, ablation_of(model, compute, *task, flags.ablation_rows));
    }
  }
  return report;
}

Status explain(const ExplainFlags& flags) {
  AGORA_ASSIGN_OR_RETURN(const ExplainReport report, gather(flags));
  if (flags.json) {
    std::cout << explain_json(report).dump() << "\n";
  } else {
    std::cout << explain_text(report, inspect_terminal(STDOUT_FILENO));
  }
  if (flags.html.empty()) return absl::OkStatus();
  AGORA_RETURN_IF_ERROR(weights::write_file_atomic(flags.html, explain_page(report)));
  std::cerr << "Page written to " << flags.html << "\n";
  return absl::OkStatus();
}

// A server of a swarm explains; there is no model here.
Status explain_elsewhere(const ExplainFlags& flags, const Interrupt& interrupt) {
  if (flags.first && flags.text.empty()) {
    return explain_swarm(flags.place, *flags.first, flags.json, interrupt);
  }
  return text_of_swarm_expected("explain");
}

Status explain_here(const ExplainFlags& flags) {
  if (flags.first) return explain(flags);
  return absl::InvalidArgumentError(
      "expected agora explain MODEL, agora explain MODEL \"text\", or agora explain --swarm \"text\"");
}

}  // namespace

void add_explain_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result) {
  auto flags = std::make_shared<ExplainFlags>();
  CLI::App* command =
      app.add_subcommand("explain", "Show which experts handled what, and why: agora explain MODEL \"text\"");
  command->option_defaults()->always_capture_default();
  command->add_option("model", flags->first, "folder of a model; not with --swarm");
  command->add_option("text", flags->text, "token by token: the experts chosen, their weights, and why");
  command->add_option("--data", flags->data,
                      "what the experts are for on this folder; empty: the model's own data");
  command->add_flag("--domains", flags->domains,
                    "with a text: also what the experts are for on the model's data");
  command->add_flag("!--no-ablation", flags->ablate, "leave out how the answer changes without each expert");
  command->add_option("--rows", flags->rows, "validation rows that the tables are made from")
      ->check(above_zero());
  command->add_option("--ablation-rows", flags->ablation_rows, "rows that each expert is missed on")
      ->check(above_zero());
  command->add_option("--html", flags->html, "also write one self-contained page to this file");
  command->add_option("--threads", flags->threads, "0: one per processor");
  command->add_option("--precision", flags->precision, "bf16 or f32");
  CLI::Option* swarm = command->add_flag(
      "--swarm", flags->swarm,
      "ask a server of a running swarm, for the text alone: agora explain --swarm \"text\"");
  for (const char* here : {"--data", "--domains", "--no-ablation", "--rows", "--ablation-rows", "--html"}) {
    command->get_option(here)->excludes(swarm);
  }
  add_place_flags(*command, flags->place);
  command->add_flag("--json", flags->json, "one JSON object instead of text");
  command->callback([flags, &interrupt, &result] {
    result.exit_code = report(flags->swarm ? explain_elsewhere(*flags, interrupt) : explain_here(*flags));
  });
}

}  // namespace agora::cli
