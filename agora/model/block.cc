#include "agora/model/block.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace agora::model {
namespace {

nn::AttentionConfig attention_config(const ModelConfig& config) {
  return {.width = config.hidden_size,
          .heads = config.num_attention_heads,
          .kv_heads = config.num_key_value_heads,
          .head_width = config.head_dim,
          .causal = config.causal,
          .window = 0,
          .qkv_bias = config.attention_bias,
          .qk_norm = config.qk_norm,
          .norm_epsilon = config.rms_norm_eps,
          .rotary = config.frontend == FrontendKind::text,  // patches have learned positions
          .rope_theta = config.rope_theta};
}

moe::MoeLayerConfig mixture_config(const ModelConfig& config) {
  moe::MoeLayerConfig mixture{.gate = config.gate, .d = config.hidden_size};
  mixture.shared_h = config.shared_expert_intermediate_size;
  mixture.shared_gate = config.shared_expert_gate;
  mixture.aux_loss_coefficient = config.router_aux_loss_coef;
  mixture.z_loss_coefficient = config.router_z_loss_coef;
  mixture.bias_rate = config.selection_bias_rate;
  mixture.deviation = config.initializer_range;
  mixture.deviation_down = config.residual_deviation();
  return mixture;
}

std::string block_name(LayerId layer) { return absl::StrCat("model.layers.", layer.value); }

void copy_rows(View<const float> from, View<float> to) { std::copy_n(from.data, from.size(), to.data); }

}  // namespace

StatusOr<std::unique_ptr<Block>> Block::create(const ModelConfig& config, LayerId layer,
                                               moe::Experts& experts, Train train) {
  AGORA_ASSIGN_OR_RETURN(auto mixture, moe::MoeLayer::create(block_name(layer) + ".mlp", layer,
                                                             mixture_config(config), experts, train));
  return std::unique_ptr<Block>(new Block(config, layer, train, std::move(mixture)));
}

Block::Block(const ModelConfig& config, LayerId layer, Train train, std::unique_ptr<moe::MoeLayer> mixture)
    : layer_(layer),
      attention_norm_(block_name(layer) + ".input_layernorm", config.hidden_size, config.rms_norm_eps, train),
      attention_(block_name(layer) + ".self_attn", attention_config(config), train),
      mixture_norm_(block_name(layer) + ".post_attention_layernorm", config.hidden_size, config.rms_norm_eps,
                    train),
      mixture_(std::move(mixture)) {}

void Block::initialise(const Rng& rng, float deviation, float deviation_out) {
  attention_.initialise(rng, deviation, deviation_out);
  mixture_->initialise(rng);
}

void Block::repack(const Compute& compute) {
  attention_.repack(compute);
  mixture_->repack(compute);
}

void Block::append_parameters(std::vector<tensor::Parameter*>& to) {
  attention_norm_.append_parameters(to);
  attention_.append_parameters(to);
  mixture_norm_.append_parameters(to);
  mixture_->append_parameters(to);
}

StatusOr<moe::MoeStats> Block::forward(const Pass& pass, const nn::AttentionBatch& batch, View<float> x,
                                       BlockTape& tape, BlockScratch& scratch) {
  copy_rows(x, tape.x.shape(x.rows, x.cols));
  tape.attention_inverse.resize(static_cast<size_t>(x.rows));
  const View<float> normed = scratch.normed.shape(x.rows, x.cols);
  attention_norm_.forward(pass.compute, x, normed, tape.attention_inverse);
  attention_.forward(pass.compute, normed, batch, x, nn::Write::add, &tape.attention);

  copy_rows(x, tape.mid.shape(x.rows, x.cols));
  tape.mixture_inverse.resize(static_cast<size_t>(x.rows));
  mixture_norm_.forward(pass.compute, x, normed, tape.mixture_inverse);
  const View<float> y = scratch.mixed.shape(x.rows, x.cols);
  AGORA_ASSIGN_OR_RETURN(auto stats, mixture_->forward(pass.compute, normed, pass.call,
                                                       moe::Keep::for_backward, y, tape.mixture));
  if (pass.observer != nullptr) pass.observer->observe(layer_, tape.mixture);
  kernels::add(pass.compute, y, x);
  return stats;
}

Status Block::infer(const Pass& pass, const nn::AttentionBatch& batch, std::span<const nn::KeyCache> caches,
                    View<float> x, moe::MoeSaved& saved, BlockScratch& scratch) {
  const View<float> normed = scratch.normed.shape(x.rows, x.cols);
  attention_norm_.forward(pass.compute, x, normed, {});
  if (caches.empty()) {
    attention_.forward(pass.compute, normed, batch, x, nn::Write::add, nullptr);
  } else {
    attention_.forward_cached(pass.compute, normed, batch, caches, x, nn::Write::add);
  }
  mixture_norm_.forward(pass.compute, x, normed, {});
  const View<float> y = scratch.mixed.shape(x.rows, x.cols);
  AGORA_RETURN_IF_ERROR(
      mixture_->forward(pass.compute, normed, pass.call, moe::Keep::nothing, y, saved).status());
  if (pass.observer != nullptr) pass.observer->observe(layer_, saved);
  kernels::add(pass.compute, y, x);
  return absl::OkStatus();
}

}  // namespace agora::model
