#include "apps/cli/explain_gather.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "agora/moe/absent_experts.h"
#include "agora/train/route_meter.h"

#include "apps/cli/terminal_table.h"

namespace agora::cli {
namespace {

std::vector<model::Batch> validation_batches(const train::Task& task, int64_t rows) {
  std::vector<model::Batch> batches;
  const auto domains = static_cast<int64_t>(task.domains().size());
  for (int64_t d = 0; d < domains; ++d) {
    for (model::Batch& batch : task.validation(d, std::max<int64_t>(1, rows / domains))) {
      batches.push_back(std::move(batch));
    }
  }
  return batches;
}

// Loss and best guesses over all batches.
struct Answers {
  double loss_sum = 0;
  int64_t counted = 0;
  std::vector<int32_t> best;  // of the answers that count
};

StatusOr<Answers> answer(model::Model& model, const model::Pass& pass,
                         const std::vector<model::Batch>& batches) {
  Answers all;
  for (const model::Batch& batch : batches) {
    std::vector<int32_t> best(batch.targets.size());
    AGORA_ASSIGN_OR_RETURN(const nn::LossSum loss, model.evaluate(pass, batch, {}, best));
    all.loss_sum += loss.sum;
    all.counted += loss.counted;
    for (size_t i = 0; i < best.size(); ++i) {
      if (batch.targets[i] != model::kNoTarget) all.best.push_back(best[i]);
    }
  }
  return all;
}

// By layer, those behind the seam: what is closed, or needs no call, is no part of balance (moe/layer.h).
std::vector<std::vector<ExpertId>> open_experts(model::Model& model) {
  std::vector<std::vector<ExpertId>> open(static_cast<size_t>(model.config().num_hidden_layers));
  for (size_t l = 0; l < open.size(); ++l) {
    for (const int32_t c : model.block(LayerId{static_cast<int64_t>(l)}).mixture().gate().open()) {
      if (c < model.config().gate.experts) open[l].emplace_back(c);
    }
  }
  return open;
}

train::ExpertAblation compare(const Answers& with, const Answers& without) {
  int64_t changed = 0;
  for (size_t i = 0; i < with.best.size(); ++i) changed += with.best[i] != without.best[i];
  const auto counted = static_cast<double>(std::max<int64_t>(with.counted, 1));
  return {(without.loss_sum - with.loss_sum) / counted, static_cast<double>(changed) / counted};
}

}  // namespace

StatusOr<std::vector<model::TokenTrace>> trace_text(model::LocalModel& model, const kernels::Compute& compute,
                                                    const std::string& text) {
  if (model.tokenizer == nullptr) {
    return absl::InvalidArgumentError("explain: expected a model of text, found one of images; use --data");
  }
  return model::trace_text(*model.model, *model.tokenizer, compute, text);
}

StatusOr<train::Specialisation> specialisation_of(model::LocalModel& model, const kernels::Compute& compute,
                                                  const train::Task& task, int64_t rows, uint64_t seed) {
  const model::ModelConfig& config = model.config();
  train::SpecialisationMeter meter({.layers = config.num_hidden_layers,
                                    .experts = config.gate.candidates(),
                                    .domains = static_cast<int64_t>(task.domains().size()),
                                    .vocab = config.vocab_size,
                                    .balanced = open_experts(*model.model)});
  train::RouteMeter routes(meter);
  const model::Pass pass{.compute = compute, .call = {}, .observer = &routes};
  for (const model::Batch& batch : validation_batches(task, rows)) {
    routes.begin(batch);
    AGORA_RETURN_IF_ERROR(model.model->evaluate(pass, batch, {}, {}).status());
  }
  return meter.specialisation(Rng(seed).fork("explain"));
}

StatusOr<train::Ablation> ablation_of(model::LocalModel& model, const kernels::Compute& compute,
                                      const train::Task& task, int64_t rows) {
  const std::vector<model::Batch> batches = validation_batches(task, rows);
  const model::Pass pass{.compute = compute};
  AGORA_ASSIGN_OR_RETURN(const Answers all, answer(*model.model, pass, batches));
  train::Ablation ablation;
  ablation.tokens = all.counted;
  ablation.loss = all.loss_sum / static_cast<double>(std::max<int64_t>(all.counted, 1));
  moe::AbsentExperts without(*model.experts);
  model.model->use_experts(without);
  for (int64_t l = 0; l < model.config().num_hidden_layers; ++l) {
    ablation.layers.emplace_back();
    for (int64_t e = 0; e < model.config().gate.experts; ++e) {
      without.remove(LayerId{l}, ExpertId{e});
      const StatusOr<Answers> less = answer(*model.model, pass, batches);
      if (!less.ok()) {
        model.model->use_experts(*model.experts);
        return less.status();
      }
      ablation.layers.back().push_back(compare(all, *less));
    }
  }
  model.model->use_experts(*model.experts);
  return ablation;
}

std::vector<std::pair<std::string, std::string>> model_summary(const model::ModelConfig& config) {
  return {{"parameters", with_thousands(config.parameters())},
          {"active a token", with_thousands(config.parameters_active())},
          {"layers", absl::StrCat(config.num_hidden_layers)},
          {"width D", absl::StrCat(config.hidden_size)},
          {"experts in a layer", absl::StrCat(config.gate.candidates(), ", ", config.gate.chosen,
                                              " chosen, H ", config.moe_intermediate_size)}};
}

}  // namespace agora::cli
