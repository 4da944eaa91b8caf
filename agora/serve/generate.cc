#include "agora/serve/generate.h"

#include <unistd.h>

#include "agora/base/check.h"
#include "agora/base/text.h"

namespace agora::serve {
namespace {

// A cache that does not fit would end the process (tensor/buffer.h), not the call.
Status expect_memory(int64_t cache_bytes) {
  const int64_t bytes = int64_t{::sysconf(_SC_PHYS_PAGES)} * ::sysconf(_SC_PAGESIZE);
  if (cache_bytes <= bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(base::concat("the answer needs ", cache_bytes,
                                                 " bytes of key cache, this machine has ", bytes,
                                                 " bytes of memory: ask for fewer tokens"));
}

}  // namespace

StatusOr<std::unique_ptr<Generation>> Generation::start(model::Model& model, const model::Pass& pass,
                                                        std::vector<int32_t> prompt,
                                                        const SamplerSettings& settings, int64_t tokens_max) {
  AGORA_CHECK_GT(tokens_max, 0);
  AGORA_RETURN_IF_ERROR(validate(settings));
  if (prompt.empty()) return absl::InvalidArgumentError("the prompt is empty: expected at least one token");
  std::unique_ptr<Generation> generation(
      new Generation(model, pass, std::move(prompt), settings, tokens_max));
  AGORA_RETURN_IF_ERROR(expect_memory(generation->sequence_.cache_bytes()));
  generation->sequence_.open();
  AGORA_RETURN_IF_ERROR(generation->read());
  return generation;
}

Generation::Generation(model::Model& model, const model::Pass& pass, std::vector<int32_t> prompt,
                       const SamplerSettings& settings, int64_t tokens_max)
    : model_(model),
      pass_(pass),
      sequence_(model.config(), std::move(prompt), settings, {.tokens_max = tokens_max}) {}

Status Generation::read() {
  const auto unread = std::ssize(sequence_.unread());
  if (unread == 0) return absl::OkStatus();
  const model::SequenceStep step = sequence_.step(unread);
  return model_.extend(pass_, {&step, 1});
}

StatusOr<int32_t> Generation::next() {
  AGORA_RETURN_IF_ERROR(read());
  return sequence_.sample();
}

}  // namespace agora::serve
