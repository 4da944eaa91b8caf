// What a finished run shows: memory, perplexity of each domain, which experts serve it, and a sample.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "apps/cli/training_run.h"

namespace agora::cli {

// The loss on the whole validation part, with its progress on a terminal. Who has pressed Ctrl-C, before or
// meanwhile, waits no longer: then it is the loss on `rows_short` rows of it.
StatusOr<train::Evaluation> measure(model::Model& model, const model::Pass& pass, const train::Task& task,
                                    int64_t rows_short, const Interrupt& interrupt);

struct SummarySubject {
  model::LocalModel& model;
  model::Pass pass;
  uint64_t seed = 1;
};
// Sample, losses by domain, experts by domain.
Status print_model_summary(const SummarySubject& subject, const train::Task& task,
                           const train::Evaluation& evaluation);
// That, with what the run cost and what to do next.
Status print_summary(train::Trainer& trainer, const train::Task& task, const RunResult& result);

// Losses by domain: a table, or one JSON object.
void print_evaluation(const train::Evaluation& evaluation, bool classes, bool json);
nlohmann::ordered_json evaluation_json(const train::Evaluation& evaluation);

// Peak bytes that the program counted by purpose, what the operating system saw, and their ratio.
nlohmann::ordered_json memory_json();

}  // namespace agora::cli
