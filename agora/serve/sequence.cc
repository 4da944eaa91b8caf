#include "agora/serve/sequence.h"

#include <algorithm>

#include "agora/base/check.h"

namespace agora::serve {

int64_t first_token_read(int64_t tokens, int64_t rows_max) {
  if (tokens <= rows_max) return 0;
  const int64_t stride = std::max<int64_t>(rows_max / 2, 1);
  return (tokens - rows_max + stride - 1) / stride * stride;
}

Sequence::Sequence(const model::ModelConfig& config, std::vector<int32_t> prompt,
                   const SamplerSettings& settings, const AnswerLength& length)
    : config_(config), sampler_(settings), tokens_(std::move(prompt)) {
  AGORA_CHECK(!tokens_.empty() && length.answered >= 0 && length.answered <= std::ssize(tokens_));
  sampler_.skip(length.answered);
  first_ = first_token_read(std::ssize(tokens_), config.max_position_embeddings);
  cache_rows_ = config.max_position_embeddings;
  if (length.tokens_max > 0) {
    const int64_t prompt = std::ssize(tokens_) - length.answered;
    cache_rows_ = std::min(cache_rows_, prompt + std::min(cache_rows_, length.tokens_max));
  }
}

void Sequence::open() {
  cache_ = model::SequenceCache(config_, cache_rows_);
  logits_.resize(static_cast<size_t>(config_.vocab_size));
}

model::SequenceStep Sequence::step(int64_t rows) {
  const std::span<const int32_t> all = unread();
  const std::span<const int32_t> tokens = all.first(static_cast<size_t>(rows));
  return {tokens, &cache_, tokens.size() == all.size() ? std::span<float>(logits_) : std::span<float>()};
}

int32_t Sequence::sample() {
  AGORA_CHECK(unread().empty());
  const int32_t token = sampler_.sample(logits_, tokens_);
  tokens_.push_back(token);
  const int64_t first = first_token_read(std::ssize(tokens_), config_.max_position_embeddings);
  if (first != first_) {
    first_ = first;
    cache_.filled = 0;
  }
  return token;
}

}  // namespace agora::serve
