#include "agora/serve/generate.h"

#include <algorithm>

namespace agora::serve {

StatusOr<std::unique_ptr<Generation>> Generation::start(model::Model& model, const model::Pass& pass,
                                                        std::vector<int32_t> prompt,
                                                        const SamplerSettings& settings) {
  AGORA_RETURN_IF_ERROR(validate(settings));
  if (prompt.empty()) return absl::InvalidArgumentError("the prompt is empty: expected at least one token");
  const auto longest = static_cast<size_t>(model.config().max_position_embeddings);
  if (prompt.size() > longest) prompt.erase(prompt.begin(), prompt.end() - static_cast<int64_t>(longest));
  std::unique_ptr<Generation> generation(new Generation(model, pass, std::move(prompt), settings));
  AGORA_RETURN_IF_ERROR(generation->read(generation->tokens_));
  return generation;
}

Generation::Generation(model::Model& model, const model::Pass& pass, std::vector<int32_t> prompt,
                       const SamplerSettings& settings)
    : model_(model),
      pass_(pass),
      sampler_(settings),
      tokens_(std::move(prompt)),
      cache_(model.config(), model.config().max_position_embeddings),
      logits_(static_cast<size_t>(model.config().vocab_size)) {}

Status Generation::read(std::span<const int32_t> tokens) {
  return model_.extend(pass_, tokens, cache_, logits_);
}

Status Generation::make_room() {
  const auto kept = std::max<int64_t>(cache_.capacity / 2, 1);
  cache_.filled = 0;
  return read(std::span(tokens_).last(static_cast<size_t>(kept)));
}

StatusOr<int32_t> Generation::next() {
  const int32_t token = sampler_.sample(logits_, tokens_);
  tokens_.push_back(token);
  if (cache_.filled == cache_.capacity) {
    AGORA_RETURN_IF_ERROR(make_room());  // reads the new token too: it is the last
  } else {
    AGORA_RETURN_IF_ERROR(read(std::span(tokens_).last(1)));
  }
  return token;
}

}  // namespace agora::serve
