// How good a model is on the parts of the data that it was not trained on.
//
//   AGORA_ASSIGN_OR_RETURN(Evaluation e, evaluate(*model, pass, task, /*rows_max=*/0));
//   e.total.loss(), e.domains[d].loss()
//
// One thread at a time.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "agora/model/model.h"
#include "agora/train/task.h"

namespace agora::train {

struct Score {
  std::string name;
  double loss_sum = 0;  // nats
  int64_t answers = 0;  // tokens, or images
  int64_t wrong = 0;    // best guesses that missed; counted for classes only
  int64_t bytes = 0;    // of the text behind the answers; 0 for images or a part of the data

  // Not a number (null in JSON) where there are no answers.
  double loss() const { return loss_sum / static_cast<double>(answers); }
  double perplexity() const;
  double error() const { return static_cast<double>(wrong) / static_cast<double>(answers); }
};

struct Evaluation {
  std::vector<Score> domains;
  Score total;
};

// Called after every batch with the share of the rows that is done, 0 to 1; false: enough.
using EvaluationWatch = std::function<bool(double done)>;

// rows_max rows in all, shared between the domains by their size; 0: every validation row. Cancelled: `watch`
// said that it is enough.
StatusOr<Evaluation> evaluate(model::Model& model, const model::Pass& pass, const Task& task,
                              int64_t rows_max, const EvaluationWatch& watch = {});

}  // namespace agora::train
