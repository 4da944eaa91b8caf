// The data that a saved model is looked at with: what it was trained from, or another folder read the same
// way.
#pragma once

#include <memory>
#include <string>

#include "agora/model/model_folder.h"
#include "agora/train/task.h"

namespace agora::cli {

// dir: the model's folder; if it holds a training run, the run's options say how data is read, otherwise the
// model's shape does. data: folder or file; empty: the run's own (or this machine's text). Validation parts
// are split as in training. InvalidArgument: the data has classes that the model lacks.
StatusOr<std::unique_ptr<train::Task>> data_for(const std::string& dir, const model::LocalModel& model,
                                                const std::string& data, base::ThreadPool& pool);
// As `options` say, which are the run's.
StatusOr<std::unique_ptr<train::Task>> data_for(const std::string& dir, const model::LocalModel& model,
                                                const train::TrainOptions& options, base::ThreadPool& pool);

}  // namespace agora::cli
