// One conversation with a model: a prompt in, sampled tokens out, one at a time.
//
//   AGORA_ASSIGN_OR_RETURN(auto g, Generation::start(*m.model, pass, prompt_ids, sampler_settings, 200));
//   AGORA_ASSIGN_OR_RETURN(int32_t token, g->next());          // 200 times
//
// Keys are cached: a token costs one row through the model (see sequence.h). One thread at a time.
#pragma once

#include <memory>
#include <vector>

#include "agora/serve/sequence.h"

namespace agora::serve {

class Generation {
 public:
  // Reads the prompt: at least one token; if longer than the model takes, its last tokens. The key cache has
  // room for the prompt and tokens_max more, or for all that the model takes where that is less. Model must
  // outlive it. InvalidArgument: settings, no prompt, a cache that this machine has no memory for.
  static StatusOr<std::unique_ptr<Generation>> start(model::Model& model, const model::Pass& pass,
                                                     std::vector<int32_t> prompt,
                                                     const SamplerSettings& settings, int64_t tokens_max);

  StatusOr<int32_t> next();  // at most tokens_max times

  const std::vector<int32_t>& tokens() const { return sequence_.tokens(); }  // prompt and what followed

 private:
  Generation(model::Model& model, const model::Pass& pass, std::vector<int32_t> prompt,
             const SamplerSettings& settings, int64_t tokens_max);
  Status read();

  model::Model& model_;
  model::Pass pass_;
  Sequence sequence_;
};

}  // namespace agora::serve
