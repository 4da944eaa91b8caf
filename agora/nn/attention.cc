#include "agora/nn/attention.h"

#include <algorithm>

#include "agora/kernels/row_ops.h"
#include "agora/tensor/fit.h"

namespace agora::nn {
namespace {

// What fit() made room for.
View<const float> rows_in(const Buffer<float>& buffer, int64_t rows, int64_t cols) {
  AGORA_CHECK_LE(rows * cols, buffer.size());
  return {buffer.data(), rows, cols};
}

Buffer<float> scratch(int64_t rows, int64_t cols) {
  return Buffer<float>::uninitialised(rows, cols, Purpose::scratch);
}

// Rows of heads as rows of their own: [T, heads * A] -> [T * heads, A].
template <class T>
View<T> head_rows(View<T> x, int64_t head_width) {
  AGORA_CHECK(x.dense());
  return {x.data, x.size() / head_width, head_width};
}

// Every row belongs to one sequence: a row of none would be read before it is written.
void check_batch(View<const float> x, const AttentionBatch& batch) {
  int64_t queries = 0;
  for (const kernels::AttentionSequence& s : batch.sequences) queries += s.queries;
  AGORA_CHECK_EQ(queries, x.rows);
  AGORA_CHECK_EQ(x.rows, static_cast<int64_t>(batch.positions.size()));
}

}  // namespace

Attention::Attention(const std::string& name, const AttentionConfig& config, Train train)
    : config_(config),
      q_(name + ".q_proj", config.heads * config.head_width, config.width,
         config.qkv_bias ? Bias::yes : Bias::no, train),
      k_(name + ".k_proj", config.kv_heads * config.head_width, config.width,
         config.qkv_bias ? Bias::yes : Bias::no, train),
      v_(name + ".v_proj", config.kv_heads * config.head_width, config.width,
         config.qkv_bias ? Bias::yes : Bias::no, train),
      o_(name + ".o_proj", config.width, config.heads * config.head_width, Bias::no, train) {
  AGORA_CHECK(config.kv_heads > 0 && config.heads % config.kv_heads == 0);
  AGORA_CHECK(!config.rotary || config.head_width % 2 == 0);
  if (!config.qk_norm) return;
  q_norm_ = std::make_unique<RmsNorm>(name + ".q_norm", config.head_width, config.norm_epsilon, train);
  k_norm_ = std::make_unique<RmsNorm>(name + ".k_norm", config.head_width, config.norm_epsilon, train);
}

void Attention::initialise(const Rng& rng, float deviation, float deviation_out) {
  q_.initialise(rng, deviation);
  k_.initialise(rng, deviation);
  v_.initialise(rng, deviation);
  o_.initialise(rng, deviation_out);
}

void Attention::repack(const Compute& compute) {
  for (Linear* linear : {&q_, &k_, &v_, &o_}) linear->repack(compute);
}

void Attention::append_parameters(std::vector<Parameter*>& to) {
  for (Linear* linear : {&q_, &k_, &v_, &o_}) linear->append_parameters(to);
  for (RmsNorm* norm : {q_norm_.get(), k_norm_.get()}) {
    if (norm != nullptr) norm->append_parameters(to);
  }
}

kernels::AttentionShape Attention::shape() const {
  return {.heads = config_.heads,
          .kv_heads = config_.kv_heads,
          .head_width = config_.head_width,
          .causal = config_.causal,
          .window = config_.window};
}

void Attention::place(const Compute& compute, const RmsNorm* norm, std::span<const int32_t> positions,
                      View<const float> x, View<float> y, std::span<float> inverse) const {
  if (norm != nullptr) {
    norm->forward(compute, head_rows(x, config_.head_width), head_rows(y, config_.head_width), inverse);
  }
  if (config_.rotary)
    kernels::rope(compute, y, y.cols / config_.head_width, positions, config_.rope_theta, 1);
}

void Attention::place_backward(const Compute& compute, RmsNorm* norm, std::span<const int32_t> positions,
                               View<const float> x, std::span<const float> inverse, View<float> dy) {
  if (config_.rotary)
    kernels::rope(compute, dy, dy.cols / config_.head_width, positions, config_.rope_theta, -1);
  if (norm == nullptr) return;
  const View<float> rows = head_rows(dy, config_.head_width);
  norm->backward(compute, head_rows(x, config_.head_width), inverse, rows, rows, Write::replace);
}

void Attention::forward(const Compute& compute, View<const float> x, const AttentionBatch& batch,
                        View<float> y, Write write, AttentionSaved* saved) const {
  check_batch(x, batch);
  const int64_t queries_width = config_.heads * config_.head_width,
                keys_width = config_.kv_heads * config_.head_width;
  AttentionSaved own;
  AttentionSaved& s = saved == nullptr ? own : *saved;
  const Purpose purpose = saved == nullptr ? Purpose::scratch : Purpose::activation;
  const int64_t kept = saved == nullptr ? 0 : x.rows, normed = config_.qk_norm ? kept : 0;
  const View<float> q_raw = fit(s.q, x.rows, queries_width, purpose),
                    k_raw = fit(s.k, x.rows, keys_width, purpose), v = fit(s.v, x.rows, keys_width, purpose),
                    mixed = fit(s.mixed, x.rows, queries_width, purpose),
                    log_sum = fit(s.log_sum, kept, config_.heads, purpose),
                    q_inverse = fit(s.q_inverse, normed, config_.heads, purpose),
                    k_inverse = fit(s.k_inverse, normed, config_.kv_heads, purpose);
  const Linear::Output projected[] = {{&q_, q_raw}, {&k_, k_raw}, {&v_, v}};
  Linear::forward_each(compute, x, projected);
  // With norms the numbers before them are what backward needs, so the placed ones live only here.
  const bool apart = saved != nullptr && config_.qk_norm;
  Buffer<float> q_placed, k_placed;
  if (apart) {
    q_placed = scratch(x.rows, queries_width);
    k_placed = scratch(x.rows, keys_width);
  }
  const View<float> q = apart ? q_placed.view() : q_raw, k = apart ? k_placed.view() : k_raw;
  place(compute, q_norm_.get(), batch.positions, q_raw, q, q_inverse.flat());
  place(compute, k_norm_.get(), batch.positions, k_raw, k, k_inverse.flat());
  kernels::attention_forward(compute, shape(), batch.sequences, q, k, v, mixed, log_sum);
  o_.forward(compute, mixed, y, write);
}

void Attention::forward_cached(const Compute& compute, View<const float> x, const AttentionBatch& batch,
                               std::span<const KeyCache> caches, View<float> y, Write write) const {
  check_batch(x, batch);
  AGORA_CHECK_EQ(caches.size(), batch.sequences.size());
  const int64_t keys_width = config_.kv_heads * config_.head_width;
  Buffer<float> q = scratch(x.rows, config_.heads * config_.head_width);
  Buffer<float> k = scratch(x.rows, keys_width), v = scratch(x.rows, keys_width);
  const Linear::Output projected[] = {{&q_, q.view()}, {&k_, k.view()}, {&v_, v.view()}};
  Linear::forward_each(compute, x, projected);
  place(compute, q_norm_.get(), batch.positions, q.view(), q.view(), {});
  place(compute, k_norm_.get(), batch.positions, k.view(), k.view(), {});
  std::vector<kernels::AttentionKeys> keys;
  for (size_t b = 0; b < caches.size(); ++b) {
    const kernels::AttentionSequence& s = batch.sequences[b];
    const KeyCache& cache = caches[b];
    AGORA_CHECK_EQ(cache.k.cols, keys_width);
    AGORA_CHECK(s.keys >= s.queries && s.key_begin >= 0 && s.key_begin + s.keys <= cache.k.rows);
    keys.push_back({cache.k, cache.v});
    for (int64_t i = 0; i < s.queries; ++i) {
      const int64_t row = s.key_begin + s.keys - s.queries + i;
      std::copy_n(k.row(s.query_begin + i), k.cols(), cache.k.row(row));
      std::copy_n(v.row(s.query_begin + i), v.cols(), cache.v.row(row));
    }
  }
  Buffer<float> mixed = scratch(x.rows, q.cols());
  kernels::attention_forward(compute, shape(), batch.sequences, q.view(), keys, mixed.view());
  o_.forward(compute, mixed.view(), y, write);
}

void Attention::backward(const Compute& compute, View<const float> x, const AttentionBatch& batch,
                         const AttentionSaved& saved, View<const float> dy, View<float> dx, Write write) {
  check_batch(x, batch);
  const int64_t rows = x.rows, normed = config_.qk_norm ? rows : 0;
  const int64_t queries_width = config_.heads * config_.head_width,
                keys_width = config_.kv_heads * config_.head_width;
  const View<const float> q_raw = rows_in(saved.q, rows, queries_width),
                          k_raw = rows_in(saved.k, rows, keys_width), v = rows_in(saved.v, rows, keys_width),
                          mixed = rows_in(saved.mixed, rows, queries_width),
                          log_sum = rows_in(saved.log_sum, rows, config_.heads);
  Buffer<float> dq =
      scratch(rows, queries_width);  // first the gradient of what o_proj was given, then that of the queries
  o_.backward(compute, mixed, dy, dq.view());
  Buffer<float> q_placed, k_placed;
  if (config_.qk_norm) {
    q_placed = scratch(rows, queries_width);
    k_placed = scratch(rows, keys_width);
    place(compute, q_norm_.get(), batch.positions, q_raw, q_placed.view(), {});
    place(compute, k_norm_.get(), batch.positions, k_raw, k_placed.view(), {});
  }
  const View<const float> q = config_.qk_norm ? View<const float>(q_placed.view()) : q_raw;
  const View<const float> k = config_.qk_norm ? View<const float>(k_placed.view()) : k_raw;
  Buffer<float> dk = scratch(rows, keys_width), dv = scratch(rows, keys_width);
  kernels::attention_backward(compute, shape(), batch.sequences, q, k, v, mixed, log_sum, dq.view(),
                              dq.view(), dk.view(), dv.view());
  place_backward(compute, q_norm_.get(), batch.positions, q_raw,
                 rows_in(saved.q_inverse, normed, config_.heads).flat(), dq.view());
  place_backward(compute, k_norm_.get(), batch.positions, k_raw,
                 rows_in(saved.k_inverse, normed, config_.kv_heads).flat(), dk.view());
  const Linear::OutputGradient projected[] = {{&q_, dq.view()}, {&k_, dk.view()}, {&v_, dv.view()}};
  Linear::backward_each(compute, x, projected, dx, write);
}

}  // namespace agora::nn
