// One conversation with a model: a prompt in, sampled tokens out, one at a time.
//
//   AGORA_ASSIGN_OR_RETURN(auto g, Generation::start(*m.model, pass, prompt_ids, sampler_settings));
//   AGORA_ASSIGN_OR_RETURN(int32_t token, g->next());          // as often as you like
//
// Keys are cached: a token costs one row through the model. When the sequence is as long as the model takes,
// the oldest half is forgotten and the rest is read again. One thread at a time.
#pragma once

#include <memory>
#include <vector>

#include "agora/model/model.h"
#include "agora/serve/sampler.h"

namespace agora::serve {

class Generation {
 public:
  // prompt: at least one token; if longer than the model takes, its last tokens are used. Model must outlive
  // it.
  static StatusOr<std::unique_ptr<Generation>> start(model::Model& model, const model::Pass& pass,
                                                     std::vector<int32_t> prompt,
                                                     const SamplerSettings& settings);

  StatusOr<int32_t> next();

  const std::vector<int32_t>& tokens() const { return tokens_; }  // prompt and what followed

 private:
  Generation(model::Model& model, const model::Pass& pass, std::vector<int32_t> prompt,
             const SamplerSettings& settings);
  Status read(std::span<const int32_t> tokens);
  Status make_room();

  model::Model& model_;
  model::Pass pass_;
  Sampler sampler_;
  std::vector<int32_t> tokens_;
  model::SequenceCache cache_;
  std::vector<float> logits_;  // of what follows the last token read
};

}  // namespace agora::serve
