// What is learned: where batches come from and what the model's ends look like.
//
//   AGORA_ASSIGN_OR_RETURN(auto task, make_task(options, /*tokenizer=*/nullptr, pool));
//   ModelConfig config = task->shape(config_of(options));
//   model::Batch batch = task->next();
//
// The cursor is all that a resumed run needs to draw the same batches. One thread at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agora/base/result.h"
#include "agora/base/rng.h"
#include "agora/base/thread_pool.h"
#include "agora/model/batch.h"
#include "agora/model/config.h"
#include "agora/model/tokenizer.h"
#include "agora/train/options.h"

namespace agora::train {

// A part of the data, as people are told of it.
struct DomainSummary {
  std::string name;
  int64_t bytes_train = 0;
  int64_t bytes_validation = 0;
  int64_t rows_train = 0;
  int64_t rows_validation = 0;
};

class Task {
 public:
  virtual ~Task() = default;

  // Fills in what the data decides: frontend, head, vocabulary, positions.
  virtual model::ModelConfig shape(model::ModelConfig config) const = 0;

  // Begins anew with the batches of options.seed.
  virtual void restart(const TrainOptions& options) = 0;
  virtual model::Batch next() = 0;
  virtual Rng::State cursor() const = 0;
  virtual void restore(Rng::State cursor) = 0;

  // Batches of domain d's validation part, at most rows_max rows (0: all), the same at every call.
  virtual std::vector<model::Batch> validation(int64_t domain, int64_t rows_max) const = 0;

  virtual const std::vector<DomainSummary>& domains() const = 0;
  virtual const std::vector<std::string>& notes() const = 0;  // what was skipped, and why
  // SHA-256 of everything batches are drawn from: a resumed run checks that it is the same.
  virtual const std::string& fingerprint() const = 0;
  // Shared with the model; null for images.
  virtual std::shared_ptr<const model::Tokenizer> tokenizer() const = 0;
};

// Of a task's draws: where a run begins in its data.
inline Rng data_rng(const TrainOptions& options) { return Rng(options.seed).fork("data"); }

using SharedTokenizer = std::shared_ptr<const model::Tokenizer>;

// Text in domains: options.data, or the machine's own. tokenizer: the resumed run's; null: one is made from
// the text.
StatusOr<std::unique_ptr<Task>> make_text_task(const TrainOptions& options, SharedTokenizer tokenizer,
                                               base::ThreadPool& pool);

// Images with classes: IDX files (MNIST's names) in the folder options.data.
StatusOr<std::unique_ptr<Task>> make_image_task(const TrainOptions& options);

// By options.task.
StatusOr<std::unique_ptr<Task>> make_task(const TrainOptions& options, SharedTokenizer tokenizer,
                                          base::ThreadPool& pool);

}  // namespace agora::train
