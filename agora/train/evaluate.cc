#include "agora/train/evaluate.h"

#include <algorithm>
#include <cmath>

namespace agora::train {
namespace {

int64_t rows_validation(const Task& task) {
  int64_t rows = 0;
  for (const DomainSummary& domain : task.domains()) rows += domain.rows_validation;
  return std::max<int64_t>(rows, 1);
}

// Rows of domain d's share of rows_max; 0 when there is no limit.
int64_t share(const Task& task, size_t d, int64_t rows_max) {
  if (rows_max == 0) return 0;
  const double part =
      static_cast<double>(task.domains()[d].rows_validation) / static_cast<double>(rows_validation(task));
  return std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(rows_max) * part));
}

Status score_batch(model::Model& model, const model::Pass& pass, const model::Batch& batch, Score& score) {
  const bool classes = model.config().head == model::HeadKind::classes;
  std::vector<int32_t> best(classes ? batch.targets.size() : 0);
  AGORA_ASSIGN_OR_RETURN(const nn::LossSum loss, model.evaluate(pass, batch, {}, best));
  score.loss_sum += loss.sum;
  score.answers += loss.counted;
  for (size_t i = 0; i < best.size(); ++i) score.wrong += best[i] != batch.targets[i];
  return absl::OkStatus();
}

}  // namespace

double Score::perplexity() const { return std::exp(loss()); }

StatusOr<Evaluation> evaluate(model::Model& model, const model::Pass& pass, const Task& task,
                              int64_t rows_max, const EvaluationWatch& watch) {
  Evaluation evaluation;
  evaluation.total.name = "all";
  const auto all = static_cast<double>(rows_max == 0 ? rows_validation(task) : rows_max);
  for (size_t d = 0; d < task.domains().size(); ++d) {
    Score score;
    score.name = task.domains()[d].name;
    for (const model::Batch& batch : task.validation(static_cast<int64_t>(d), share(task, d, rows_max))) {
      AGORA_RETURN_IF_ERROR(score_batch(model, pass, batch, score));
      const auto done = static_cast<double>(evaluation.total.answers + score.answers);
      if (watch && !watch(std::min(1.0, done / all))) {
        return absl::CancelledError("the evaluation was cut short");
      }
    }
    if (rows_max == 0) score.bytes = task.domains()[d].bytes_validation;
    evaluation.total.loss_sum += score.loss_sum;
    evaluation.total.answers += score.answers;
    evaluation.total.wrong += score.wrong;
    evaluation.total.bytes += score.bytes;
    evaluation.domains.push_back(std::move(score));
  }
  return evaluation;
}

}  // namespace agora::train
