#include "agora/model/token_trace.h"

#include <algorithm>

#include "agora/moe/gate/explain.h"

namespace agora::model {
namespace {

LayerTrace trace_of(const moe::TokenReasons& reasons) {
  LayerTrace trace;
  for (const moe::ChoiceReason& c : reasons.chosen) {
    trace.choices.push_back({ExpertId{c.candidate}, c.weight, c.score, c.bias});
  }
  std::ranges::stable_sort(trace.choices, [](const auto& a, const auto& b) { return a.weight > b.weight; });
  const moe::ChoiceReason& next = reasons.runner_up;
  if (next.candidate < 0 || trace.choices.empty()) return trace;
  trace.runner_up = ScoredExpert{ExpertId{next.candidate}, next.score, next.bias};
  float last = trace.choices.front().score + trace.choices.front().bias;
  for (const ChosenExpert& c : trace.choices) last = std::min(last, c.score + c.bias);
  trace.margin = last - (next.score + next.bias);
  return trace;
}

class TraceObserver final : public RouteObserver {
 public:
  TraceObserver(Model& model, std::vector<TokenTrace>& trace) : model_(model), trace_(trace) {}

  void observe(LayerId layer, const moe::MoeSaved& saved) override {
    const moe::Gate& gate = model_.block(layer).mixture().gate();
    const std::vector<moe::TokenReasons> reasons = moe::explain(gate.descriptor(), saved.route, saved.gate);
    for (size_t t = 0; t < trace_.size(); ++t) trace_[t].layers.push_back(trace_of(reasons[t]));
  }

 private:
  Model& model_;
  std::vector<TokenTrace>& trace_;
};

}  // namespace

StatusOr<std::vector<TokenTrace>> trace_text(Model& model, const Tokenizer& tokenizer, const Compute& compute,
                                             std::string_view text, size_t tokens_max) {
  if (text.empty()) return absl::InvalidArgumentError("explain: expected some text, found none");
  AGORA_ASSIGN_OR_RETURN(std::vector<int32_t> ids, tokenizer.encode_prompt(text));
  const auto longest = static_cast<size_t>(model.config().max_position_embeddings);
  ids.resize(std::min({ids.size(), longest, tokens_max}));
  std::vector<TokenTrace> trace;
  for (size_t i = 0; i < ids.size(); ++i) {
    const std::string_view bytes = tokenizer.token_bytes(ids[i]);
    std::string shown = bytes.empty() ? tokenizer.display(ids[i]) : std::string(bytes);
    trace.push_back({std::move(shown), static_cast<int64_t>(i), {}});
  }
  TraceObserver observer(model, trace);
  const Pass pass{.compute = compute, .call = {}, .observer = &observer};
  Batch batch;
  batch.batch = 1;
  batch.length = static_cast<int64_t>(ids.size());
  batch.targets.assign(ids.size(), kNoTarget);
  batch.tokens = std::move(ids);
  AGORA_RETURN_IF_ERROR(model.evaluate(pass, batch, {}, {}).status());
  return trace;
}

}  // namespace agora::model
