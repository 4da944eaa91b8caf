#include <unistd.h>

#include <cmath>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "apps/cli/command.h"
#include "apps/cli/machine.h"
#include "apps/cli/model_data.h"
#include "apps/cli/training_summary.h"

namespace agora::cli {
namespace {

struct EvalFlags {
  std::string model;
  std::string data;
  int64_t rows = 0;
  int threads = 0;
  std::string precision = "bf16";
  bool json = false;
};

Status evaluate(const EvalFlags& flags) {
  Machine machine(flags.threads);
  AGORA_ASSIGN_OR_RETURN(const kernels::Compute compute, machine.compute(flags.precision));
  AGORA_ASSIGN_OR_RETURN(model::LocalModel model, model::load_model(flags.model, compute, tensor::Train::no));
  AGORA_ASSIGN_OR_RETURN(const auto task, data_for(flags.model, model, flags.data, machine.pool()));
  AGORA_ASSIGN_OR_RETURN(const train::Evaluation evaluation,
                         train::evaluate(*model.model, {.compute = compute}, *task, flags.rows));
  print_evaluation(evaluation, model.config().head == model::HeadKind::classes, flags.json);
  return absl::OkStatus();
}

}  // namespace

void add_eval_command(CLI::App& app, CommandResult& result) {
  auto flags = std::make_shared<EvalFlags>();
  CLI::App* command = app.add_subcommand("eval", "Measure a model on the validation part of a data set");
  command->option_defaults()->always_capture_default();
  command->add_option("model", flags->model, "folder of a model")->required();
  command->add_option("--data", flags->data, "folder or file; empty: what the model was trained from");
  command->add_option("--rows", flags->rows,
                      "so many, in whole sequences or images, at least one of each domain; 0: all");
  command->add_option("--threads", flags->threads, "0: one per processor");
  command->add_option("--precision", flags->precision, "bf16 or f32");
  command->add_flag("--json", flags->json, "one JSON object instead of a table");
  command->callback([flags, &result] { result.exit_code = report(evaluate(*flags)); });
}

}  // namespace agora::cli
