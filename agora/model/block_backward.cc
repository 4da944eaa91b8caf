#include "agora/model/block.h"

namespace agora::model {

// The mirror of Block::forward. The norms' outputs are made again rather than kept: one cheap pass each.
Status Block::backward(const Pass& pass, const nn::AttentionBatch& batch, BlockTape& tape, View<float> dx,
                       BlockScratch& scratch) {
  const View<const float> mid = std::as_const(tape.mid).view();
  const View<float> normed = scratch.normed.shape(dx.rows, dx.cols);
  const View<float> dnormed = scratch.mixed.shape(dx.rows, dx.cols);
  mixture_norm_.forward(pass.compute, mid, normed, {});
  AGORA_RETURN_IF_ERROR(
      mixture_->backward(pass.compute, normed, tape.mixture, dx, dnormed, pass.call.deadline));
  mixture_norm_.backward(pass.compute, mid, tape.mixture_inverse, dnormed, dx, nn::Write::add);

  const View<const float> x = std::as_const(tape.x).view();
  attention_norm_.forward(pass.compute, x, normed, {});
  attention_.backward(pass.compute, normed, batch, tape.attention, dx, dnormed, nn::Write::replace);
  attention_norm_.backward(pass.compute, x, tape.attention_inverse, dnormed, dx, nn::Write::add);
  return absl::OkStatus();
}

}  // namespace agora::model
