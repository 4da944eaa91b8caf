#include "agora/sim/chain_task.h"

#include <cmath>
#include <numeric>
#include <utility>

#include "agora/base/text.h"

namespace agora::sim {
namespace {

constexpr uint64_t kValidationSeed = 99;

}  // namespace

ChainTask::ChainTask(const train::BatchShape& shape, uint64_t chain)
    : shape_(shape), successor_(kTokens), rng_(chain), fingerprint_(base::concat("chain ", chain)) {
  std::iota(successor_.begin(), successor_.end(), 0);
  Rng order = Rng(chain).fork("successors");
  for (uint32_t i = kTokens - 1; i > 0; --i) std::swap(successor_[i], successor_[order.below(i + 1)]);
  domains_.push_back({.name = "chain"});
}

model::ModelConfig ChainTask::shape(model::ModelConfig config) const {
  config.frontend = model::FrontendKind::text;
  config.head = model::HeadKind::next_token;
  config.causal = true;
  config.vocab_size = kTokens;
  config.max_position_embeddings = shape_.length;
  return config;
}

void ChainTask::restart(const train::TrainOptions& options) { rng_ = train::data_rng(options); }

model::Batch ChainTask::draw(Rng& rng) const {
  model::Batch batch{.batch = shape_.batch, .length = shape_.length};
  batch.domains.assign(static_cast<size_t>(shape_.batch), 0);
  for (int64_t b = 0; b < shape_.batch; ++b) {
    auto token = static_cast<int32_t>(rng.below(kTokens));
    for (int64_t s = 0; s < shape_.length; ++s) {
      batch.tokens.push_back(token);
      const bool known = rng.below(8) < kKnownOf8;
      token = known ? successor_[static_cast<size_t>(token)] : static_cast<int32_t>(rng.below(kTokens));
      batch.targets.push_back(token);
    }
  }
  return batch;
}

std::vector<model::Batch> ChainTask::validation(int64_t, int64_t rows_max) const {
  Rng rng(kValidationSeed);
  std::vector<model::Batch> batches;
  int64_t rows = 0;
  do {
    batches.push_back(draw(rng));
    rows += batches.back().rows();
  } while (rows < rows_max);
  return batches;
}

double ChainTask::least_loss() {
  const double other = (1 - kKnownOf8 / 8.0) / kTokens;
  const double known = kKnownOf8 / 8.0 + other;
  return -known * std::log(known) - (kTokens - 1) * other * std::log(other);
}

}  // namespace agora::sim
