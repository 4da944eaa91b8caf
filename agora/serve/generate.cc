#include "agora/serve/generate.h"

namespace agora::serve {

StatusOr<std::unique_ptr<Generation>> Generation::start(model::Model& model, const model::Pass& pass,
                                                        std::vector<int32_t> prompt,
                                                        const SamplerSettings& settings) {
  AGORA_RETURN_IF_ERROR(validate(settings));
  if (prompt.empty()) return absl::InvalidArgumentError("the prompt is empty: expected at least one token");
  std::unique_ptr<Generation> generation(new Generation(model, pass, std::move(prompt), settings));
  generation->sequence_.open();
  AGORA_RETURN_IF_ERROR(generation->read());
  return generation;
}

Generation::Generation(model::Model& model, const model::Pass& pass, std::vector<int32_t> prompt,
                       const SamplerSettings& settings)
    : model_(model), pass_(pass), sequence_(model.config(), std::move(prompt), settings, {}) {}

Status Generation::read() {
  const auto unread = std::ssize(sequence_.unread());
  if (unread == 0) return absl::OkStatus();
  const model::SequenceStep step = sequence_.step(unread);
  return model_.extend_many(pass_, {&step, 1});
}

StatusOr<int32_t> Generation::next() {
  AGORA_RETURN_IF_ERROR(read());
  return sequence_.sample();
}

}  // namespace agora::serve
