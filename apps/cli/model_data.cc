#include "apps/cli/model_data.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "agora/train/run_folder.h"

namespace agora::cli {
namespace {

constexpr int64_t kRowsAtOnce = 2048;  // of a batch when no training run says it

train::TrainOptions options_of(const model::ModelConfig& config) {
  train::TrainOptions options;
  const bool images = config.frontend == model::FrontendKind::patches;
  options.task = images ? "images" : "text";
  options.patch = config.patches.patch;
  options.sequence = config.max_position_embeddings;
  options.batch = std::max<int64_t>(1, kRowsAtOnce / options.sequence);
  return options;
}

}  // namespace

StatusOr<std::unique_ptr<train::Task>> data_for(const std::string& dir, const model::LocalModel& model,
                                                const std::string& data, base::ThreadPool& pool) {
  train::TrainOptions options = options_of(model.config());
  const StatusOr<train::TrainState> run = train::read_run_state(dir);
  if (run.ok()) {
    options = run->options;
  } else if (!absl::IsNotFound(run.status())) {
    return run.status();
  }
  if (!data.empty()) options.data = data;
  return data_for(dir, model, options, pool);
}

StatusOr<std::unique_ptr<train::Task>> data_for(const std::string& dir, const model::LocalModel& model,
                                                const train::TrainOptions& options, base::ThreadPool& pool) {
  AGORA_ASSIGN_OR_RETURN(auto task, train::make_task(options, model.tokenizer, pool));
  const int64_t known = model.config().vocab_size;
  const int64_t found = task->shape(model.config()).vocab_size;
  if (found <= known) return task;
  return absl::InvalidArgumentError(absl::StrCat(options.data, ": expected at most ", known,
                                                 " pieces or classes, as the model in ", dir, " has, found ",
                                                 found));
}

}  // namespace agora::cli
