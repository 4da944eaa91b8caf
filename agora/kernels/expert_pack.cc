#include "agora/kernels/expert_ffn.h"
#include "agora/kernels/expert_plan.h"
#include "agora/kernels/pack_weight.h"

namespace agora::kernels {
namespace {

void check_shapes(Activation activation, const ExpertWeights& weights) {
  const bool gated = activation == Activation::swiglu;
  AGORA_CHECK(!weights.up.empty());
  AGORA_CHECK_EQ(!weights.gate.empty(), gated);
  AGORA_CHECK_EQ(!weights.down.empty(), activation != Activation::linear);
  if (gated) AGORA_CHECK(weights.gate.rows == weights.up.rows && weights.gate.cols == weights.up.cols);
  if (gated) AGORA_CHECK(weights.up_bias.empty());
  if (!weights.down.empty())
    AGORA_CHECK(weights.down.rows == weights.up.cols && weights.down.cols == weights.up.rows);
  if (activation == Activation::linear) AGORA_CHECK_EQ(weights.up.rows, weights.up.cols);
}

std::vector<float> padded_bias(View<const float> bias) {
  if (bias.empty()) return {};
  std::vector<float> result(static_cast<size_t>(round_up(bias.cols, kPanelWidth)), 0.0f);
  std::copy_n(bias.data, bias.cols, result.begin());
  return result;
}

// Panel p of the in-product: gate and up in turn for swiglu, else up. {matrix, its panel}
struct Source {
  View<const float> weight;
  int64_t panel;
};
Source source_of(const ExpertWeights& weights, int64_t p) {
  if (weights.gate.empty()) return {weights.up, p};
  return {p % 2 == 0 ? weights.gate : weights.up, p / 2};
}

// The transposed one's inner dimension is the in-product's padded columns, so that the rows of its gradient
// are read as they lie.
template <class T>
void pack_in(const Compute& compute, const ExpertWeights& weights, bool for_backward, ExpertPack& pack) {
  const int64_t outputs = padded_w(pack);
  pack.in.shape(pack.d, outputs, compute.precision);
  if (for_backward) pack.in_transposed.shape(outputs, pack.d, compute.precision);
  compute.pool->run(pack.in.panels(), [&](int64_t p) {
    const Source source = source_of(weights, p);
    const int64_t begin = source.panel * kPanelWidth;
    T* turned =
        for_backward ? pack.in_transposed.mutable_panel<T>(0) + p * kPanelWidth * kPanelWidth : nullptr;
    pack_weight(compute.table->loops<T>(), {.w = source.weight.row(begin),
                                            .row_stride = source.weight.row_stride,
                                            .rows = std::min(kPanelWidth, pack.h - begin),
                                            .columns = pack.d,
                                            .panel = pack.in.mutable_panel<T>(p),
                                            .turned = turned,
                                            .turned_panel = panel_size<T>(outputs),
                                            .turned_steps = kPanelWidth / kStep<T>});
  });
}

template <class T>
void pack_as(const Compute& compute, const ExpertWeights& weights, bool for_backward, ExpertPack& pack) {
  pack_in<T>(compute, weights, for_backward, pack);
  if (weights.down.empty()) return;
  repack(compute, weights.down, pack.down, for_backward ? &pack.down_transposed : nullptr);
}

}  // namespace

void repack_expert(const Compute& compute, Activation activation, const ExpertWeights& weights,
                   bool for_backward, ExpertPack& pack) {
  check_shapes(activation, weights);
  pack.activation = activation;
  pack.d = weights.up.cols;
  pack.h = weights.up.rows;
  pack.up_bias = padded_bias(weights.up_bias);
  pack.down_bias = padded_bias(weights.down_bias);
  if (compute.precision == Precision::bf16) {
    pack_as<bf16>(compute, weights, for_backward, pack);
  } else {
    pack_as<float>(compute, weights, for_backward, pack);
  }
}

ExpertPack pack_expert(const Compute& compute, Activation activation, const ExpertWeights& weights,
                       bool for_backward) {
  ExpertPack pack;
  repack_expert(compute, activation, weights, for_backward, pack);
  return pack;
}

int64_t saved_width(std::span<const ExpertGroup> groups) {
  int64_t width = 0;
  for (const ExpertGroup& group : groups) width = std::max(width, padded_w(*group.pack));
  return width;
}

}  // namespace agora::kernels
