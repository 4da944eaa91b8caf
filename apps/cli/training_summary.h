// What a finished run shows: memory, perplexity of each domain, which experts serve it, and a sample.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "apps/cli/training_run.h"

namespace agora::cli {

Status print_summary(train::Trainer& trainer, const train::Task& task, const RunResult& result);

// Losses by domain: a table, or one JSON object.
void print_evaluation(const train::Evaluation& evaluation, bool classes, bool json);
nlohmann::ordered_json evaluation_json(const train::Evaluation& evaluation);

// Peak bytes that the program counted by purpose, what the operating system saw, and their ratio.
nlohmann::ordered_json memory_json();

}  // namespace agora::cli
