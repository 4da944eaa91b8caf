// A whole trunk: frontend, blocks of attention and mixture, last norm, head. Experts stand behind the seam.
//
//   AGORA_ASSIGN_OR_RETURN(auto model, Model::create(config, experts, Train::yes));
//   model->initialise(rng);   model->repack(compute);
//   Pass pass{.compute = compute};
//   AGORA_ASSIGN_OR_RETURN(LossSum loss, model->learn(pass, batch, scale, tape));     // forward and backward
//   AGORA_ASSIGN_OR_RETURN(LossSum loss, model->evaluate(pass, batch, {}, {}));
//   AGORA_RETURN_IF_ERROR(model->extend(pass, steps));   // answering, many at once, each with its key cache
//
// Passes may be under way on several threads, each with its own Tape or SequenceCache, as long as one baton
// (base/baton.h) lets only one of them compute at a time and experts that wait give it away. Otherwise one
// thread at a time.
#pragma once

#include <memory>
#include <vector>

#include "agora/model/batch.h"
#include "agora/model/block.h"
#include "agora/model/config.h"
#include "agora/model/frontend.h"
#include "agora/model/head.h"

namespace agora::model {

// What a forward pass leaves for its backward. Reused from step to step.
struct Tape {
  std::vector<BlockTape> blocks;
  BatchRows<float> x{
      Purpose::activation};  // [T, D] the residual stream: at the end what the last norm was given
  BatchRows<float> rows{Purpose::activation};  // [T, D] after the last norm
  BatchRows<float> dx{Purpose::activation};    // [T, D] the gradient of the residual stream
  std::vector<float> inverse;                  // [T] of the last norm
  std::vector<moe::MoeStats> stats;            // [L] balance and the gates' own losses
  BlockScratch scratch;
};

// Keys and values of one sequence, all layers.
struct SequenceCache {
  SequenceCache() = default;
  static int64_t bytes(const ModelConfig& config, int64_t capacity);
  SequenceCache(const ModelConfig& config, int64_t capacity);

  std::vector<Buffer<float>> k;  // [L] of [capacity, kv_heads * A]
  std::vector<Buffer<float>> v;
  int64_t filled = 0;
  int64_t capacity = 0;
};

// What one sequence reads in a step of many.
struct SequenceStep {
  std::span<const int32_t> tokens;  // at least one; appended to the sequence
  SequenceCache* cache = nullptr;
  std::span<float> logits;  // [V] scores of what follows the last token; empty: not wanted
};

class Model {
 public:
  // experts must outlive the model. InvalidArgument: see validate(config).
  static StatusOr<std::unique_ptr<Model>> create(const ModelConfig& config, moe::Experts& experts,
                                                 Train train);

  const ModelConfig& config() const { return config_; }
  void initialise(const Rng& rng);
  void repack(const Compute& compute);
  // The trunk's parameters; the experts' are behind the seam.
  std::vector<tensor::Parameter*> parameters();
  // What the trunk keeps that no optimizer moves: the gates' selection and entry biases.
  std::vector<tensor::Parameter*> selection_biases();
  // From now on the mixtures ask these experts, which must outlive the model.
  void use_experts(moe::Experts& experts);
  Block& block(LayerId layer) { return *blocks_[static_cast<size_t>(layer.value)]; }

  // Forward and backward of scale * (sum of the answers' losses) plus the gates' own losses; gradients are
  // added to. Errors: of the seam; no ticket is left open then.
  StatusOr<nn::LossSum> learn(const Pass& pass, const Batch& batch, float scale, Tape& tape);

  // Losses without gradients. answer_loss [answers] or empty; answers (best guesses) or empty.
  StatusOr<nn::LossSum> evaluate(const Pass& pass, const Batch& batch, std::span<float> answer_loss,
                                 std::span<int32_t> best);

  // Appends tokens to sequences and gives the scores of what follows each one's last: bitwise those of a
  // whole pass over that sequence alone. OutOfRange: a cache is full. An error leaves all as long as they
  // were, so that the step, or a part of it, can be done again.
  Status extend(const Pass& pass, std::span<const SequenceStep> steps);

 private:
  Model(const ModelConfig& config, Train train);
  Status forward(const Pass& pass, const Batch& batch, Tape& tape);
  Status backward(const Pass& pass, const Batch& batch, Tape& tape);
  void release_tickets(Tape& tape);

  // What a pass without a backward needs while it is under way.
  struct InferScratch {
    BatchRows<float> x{Purpose::scratch};
    BlockScratch block;
    moe::MoeSaved mixture;
  };
  class BorrowedScratch;
  Status infer(const Pass& pass, const Batch& batch, InferScratch& scratch, View<float> x);
  void score_last_rows(const Pass& pass, std::span<const kernels::AttentionSequence> sequences,
                       std::span<const SequenceStep> steps, View<const float> x);

  ModelConfig config_;
  std::unique_ptr<Frontend> frontend_;
  std::vector<std::unique_ptr<Block>> blocks_;
  nn::RmsNorm norm_;
  std::unique_ptr<Head> head_;
  std::vector<std::unique_ptr<InferScratch>> spare_;  // never more than passes were under way at once
};

}  // namespace agora::model
