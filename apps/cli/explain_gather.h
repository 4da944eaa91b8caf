// Runs a text or a data set through a model and gathers what `agora explain` says about it.
#pragma once

#include <string>

#include "agora/model/model_folder.h"
#include "agora/train/task.h"

#include "apps/cli/explain_report.h"

namespace agora::cli {

// What every gate did with each token of the text, and why. At most max_position_embeddings tokens: the
// first.
StatusOr<std::vector<model::TokenTrace>> trace_text(model::LocalModel& model, const kernels::Compute& compute,
                                                    const std::string& text);

// Which experts serve which domain, over at most `rows` validation rows.
StatusOr<train::Specialisation> specialisation_of(model::LocalModel& model, const kernels::Compute& compute,
                                                  const train::Task& task, int64_t rows, uint64_t seed);

// How the answers change without each expert in turn: its summands do not arrive, as if its host had failed,
// and a gate that normalises makes them good. Cost: layers * experts passes over at most `rows` validation
// rows.
StatusOr<train::Ablation> ablation_of(model::LocalModel& model, const kernels::Compute& compute,
                                      const train::Task& task, int64_t rows);

// What to know of the model.
std::vector<std::pair<std::string, std::string>> model_summary(const model::ModelConfig& config);

}  // namespace agora::cli
