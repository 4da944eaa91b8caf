// One block of the trunk: x += attention(norm(x)), then x += mixture(norm(x)).
//
//   block.forward(pass, attention_batch, x, tape);     // in place on the residual stream
//   block.backward(pass, attention_batch, tape, dx);   // in place on its gradient; adds to the gradients
//
// Passes with tapes of their own may be under way at the same time, as moe/layer.h says.
#pragma once

#include <memory>
#include <vector>

#include "agora/model/config.h"
#include "agora/moe/batch_rows.h"
#include "agora/moe/experts.h"
#include "agora/moe/layer.h"
#include "agora/nn/attention.h"
#include "agora/nn/rms_norm.h"

namespace agora::model {

using kernels::Compute;
using tensor::Buffer;
using tensor::Purpose;
using tensor::Train;
using tensor::View;

// Sees what every gate decided: explain() and the meters. Called after each layer's forward pass, in layer
// order.
class RouteObserver {
 public:
  virtual ~RouteObserver() = default;
  virtual void observe(LayerId layer, const moe::MoeSaved& saved) = 0;
};

// What a pass through the model is given besides the input.
struct Pass {
  Compute compute;
  moe::MoeCall call = {};             // the gates' mode, noise, deadline
  RouteObserver* observer = nullptr;  // borrowed; null: nobody looks
};

using moe::BatchRows;

// Rows of one block at a time; a pass has one for all its blocks.
struct BlockScratch {
  BatchRows<float> normed{Purpose::scratch};
  BatchRows<float> mixed{Purpose::scratch};
};

// What a forward pass leaves for its backward. Reused from step to step.
struct BlockTape {
  BatchRows<float> x{Purpose::activation};    // [T, D] what attention's norm was given
  BatchRows<float> mid{Purpose::activation};  // [T, D] what the mixture's norm was given
  std::vector<float> attention_inverse;       // [T] of the norms
  std::vector<float> mixture_inverse;
  nn::AttentionSaved attention;
  moe::MoeSaved mixture;
};

class Block {
 public:
  // experts must outlive the block. InvalidArgument: the configuration of the mixture.
  static StatusOr<std::unique_ptr<Block>> create(const ModelConfig& config, LayerId layer,
                                                 moe::Experts& experts, Train train);

  void initialise(const Rng& rng, float deviation, float deviation_out);
  void repack(const Compute& compute);
  void append_parameters(std::vector<tensor::Parameter*>& to);
  moe::MoeLayer& mixture() { return *mixture_; }

  // Whole sequences, kept for backward().
  StatusOr<moe::MoeStats> forward(const Pass& pass, const nn::AttentionBatch& batch, View<float> x,
                                  BlockTape& tape, BlockScratch& scratch);
  Status backward(const Pass& pass, const nn::AttentionBatch& batch, BlockTape& tape, View<float> dx,
                  BlockScratch& scratch);

  // No backward follows. With caches, one a sequence, the rows are appended to them; without: whole
  // sequences. `saved` is what the mixture decided.
  Status infer(const Pass& pass, const nn::AttentionBatch& batch, std::span<const nn::KeyCache> caches,
               View<float> x, moe::MoeSaved& saved, BlockScratch& scratch);

 private:
  Block(const ModelConfig& config, LayerId layer, Train train, std::unique_ptr<moe::MoeLayer> mixture);

  LayerId layer_;
  nn::RmsNorm attention_norm_;
  nn::Attention attention_;
  nn::RmsNorm mixture_norm_;
  std::unique_ptr<moe::MoeLayer> mixture_;
};

}  // namespace agora::model
