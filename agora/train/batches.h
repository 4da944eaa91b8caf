// Sequences for a training step, drawn at random from a state that can be saved, and in order for evaluation.
//
//   AGORA_ASSIGN_OR_RETURN(auto sampler, BatchSampler::create(tokens, shape, Rng(seed).fork("data")));
//   Batch b = sampler.next();              // tokens [B * S], targets [B * S], domains [B]
//   Rng::State cursor = sampler.state();   // into the checkpoint; sampler.restore(cursor) goes on from there
//
//   for (const Batch& b : evaluation_batches(tokens.domains[d].validation, d, shape, windows_max)) ...
//
// A token corpus must outlive its sampler. One thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "agora/base/result.h"
#include "agora/base/rng.h"
#include "agora/model/batch.h"
#include "agora/train/corpus.h"

namespace agora::train {

struct BatchShape {
  int64_t batch = 8;     // B sequences
  int64_t length = 256;  // S tokens each
};

using model::Batch;  // tokens [B * S], targets [B * S], domains [B]
using model::kNoTarget;

// A batch in `parts` of equally many sequences each, in order; parts divides batch.batch.
std::vector<Batch> split_batch(const Batch& batch, int64_t parts);

// Every position of the corpus is equally likely to be a sequence's first.
class BatchSampler {
 public:
  // Domains with fewer than length + 1 training tokens are left out; at least one must remain.
  static StatusOr<BatchSampler> create(const TokenCorpus& tokens, const BatchShape& shape, Rng rng);

  Batch next();
  Rng::State state() const { return rng_.state(); }
  void restore(Rng::State state) { rng_ = Rng(state); }

 private:
  struct Source {
    int32_t domain;
    std::span<const int32_t> tokens;
    int64_t starts;  // positions at which a sequence may start
  };
  BatchSampler(const BatchShape& shape, Rng rng) : shape_(shape), rng_(rng) {}
  std::pair<const Source*, int64_t> draw();

  BatchShape shape_;
  Rng rng_;
  std::vector<Source> sources_;
  int64_t starts_total_ = 0;
};

// Windows of `length` that follow each other, in batches; together they predict every token but the first
// once. The last window is padded with kNoTarget. With more than windows_max windows, that many are taken,
// evenly spread. 0: all.
std::vector<Batch> evaluation_batches(std::span<const int32_t> tokens, int32_t domain,
                                      const BatchShape& shape, int64_t windows_max);

}  // namespace agora::train
