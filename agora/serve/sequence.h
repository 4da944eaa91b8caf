// The tokens of one answer and the model's memory of them: what it has to read, and what is sampled then.
//
//   Sequence sequence(config, prompt, settings, {.answered = 0, .tokens_max = 200});
//   sequence.open();                                                   // takes the key cache
//   model.extend(pass, {sequence.step(rows)});                         // until unread() is empty; then
//   int32_t token = sequence.sample();                                 // which is unread
//
// A model takes max_position_embeddings rows. When there are more tokens it reads the last of them again,
// from a place that depends on their number alone: so the tokens that follow are the same whether a sequence
// was answered in one go or taken over in the middle. One thread at a time.
#pragma once

#include <span>
#include <vector>

#include "agora/model/model.h"
#include "agora/serve/sampler.h"

namespace agora::serve {

struct AnswerLength {
  int64_t answered = 0;    // the last tokens of the prompt, that other samplers of these settings drew
  int64_t tokens_max = 0;  // of the answer, `answered` included; 0: any number
};

class Sequence {
 public:
  // prompt: at least one token. config outlives the sequence.
  Sequence(const model::ModelConfig& config, std::vector<int32_t> prompt, const SamplerSettings& settings,
           const AnswerLength& length);

  int64_t cache_bytes() const { return model::SequenceCache::bytes(config_, cache_rows_); }
  void open();

  std::span<const int32_t> unread() const {
    return std::span(tokens_).subspan(static_cast<size_t>(first_ + cache_.filled));
  }
  // Reads the first `rows` of unread(); with the last of them come the scores.
  model::SequenceStep step(int64_t rows);
  // unread() is empty.
  int32_t sample();

  const std::vector<int32_t>& tokens() const { return tokens_; }  // prompt and what followed

 private:
  const model::ModelConfig& config_;
  Sampler sampler_;
  std::vector<int32_t> tokens_;
  int64_t first_ = 0;  // the token in the cache's first row
  int64_t cache_rows_ = 0;
  model::SequenceCache cache_;
  std::vector<float> logits_;  // of what follows the last token read
};

// The first of `tokens` tokens that a model of `rows_max` rows reads: at least half of its rows are used.
int64_t first_token_read(int64_t tokens, int64_t rows_max);

}  // namespace agora::serve
