// The attention block: projections, optional norms of queries and keys, rotary positions, softmax attention,
// projection.
//
//   Attention attention("model.layers.0.self_attn", config, Train::yes);
//   attention.repack(compute);
//   attention.forward(compute, x, batch, y, Write::add, &saved);            // whole sequences
//   attention.backward(compute, x, batch, saved, dy, dx, Write::replace);   // adds to the gradients
//   attention.forward_cached(compute, x, batch, caches, y, Write::add);     // with key caches; same bits
//
// Parameters by Hugging Face's names: NAME.{q,k,v,o}_proj.weight, NAME.{q,k,v}_proj.bias if qkv_bias,
// NAME.{q,k}_norm.weight [head_width] if qk_norm (Qwen3).
// forward*() from any thread, each with its own `saved` or cache; the rest by one thread at a time.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "agora/kernels/attention.h"
#include "agora/nn/linear.h"
#include "agora/nn/rms_norm.h"

namespace agora::nn {

struct AttentionConfig {
  int64_t width = 0;  // D
  int64_t heads = 1;
  int64_t kv_heads = 1;    // divides heads
  int64_t head_width = 0;  // A; even where rotary
  bool causal = true;
  int64_t window = 0;  // 0: none
  bool qkv_bias = false;
  bool qk_norm = false;
  float norm_epsilon = 1e-6f;
  bool rotary = true;
  float rope_theta = 10000.0f;
};

// Which rows of x are which sequences, and each row's position. Every row belongs to one sequence. Whole
// sequences: keys == queries and key_begin == query_begin. With a cache: keys counts the filled rows and the
// new ones, key_begin is the sequence's first row in its cache.
struct AttentionBatch {
  std::span<const kernels::AttentionSequence> sequences;
  std::span<const int32_t> positions;  // [T]
};

// Keys and values of a sequence in one layer, [capacity, kv_heads * A] each, held by the caller. A sequence
// owns the rows from its key_begin on; its new rows are written at key_begin + keys - queries.
struct KeyCache {
  View<float> k;
  View<float> v;
};

// What backward needs besides x, in the first rows of each buffer. Reused from step to step: memory is taken
// when T grows, and kept.
// T (2 heads + 2 kv_heads) A + T heads floats, and T (heads + kv_heads) more with qk_norm. backward() takes
// scratch of T (heads + 2 kv_heads) A floats, with qk_norm T (heads + kv_heads) A more.
struct AttentionSaved {
  Buffer<float>
      q;  // [T, heads * A]: after the rotation; before norm and rotation with qk_norm (they are redone)
  Buffer<float> k;  // [T, kv_heads * A]: likewise
  Buffer<float> v;
  Buffer<float> mixed;    // [T, heads * A]: what o_proj was given
  Buffer<float> log_sum;  // [T, heads]
  Buffer<float> q_inverse;
  Buffer<float> k_inverse;
};

class Attention {
 public:
  Attention(const std::string& name, const AttentionConfig& config, Train train);

  // Weights normal; o_proj with its own deviation (residual branches are often started smaller).
  void initialise(const Rng& rng, float deviation, float deviation_out);
  void repack(const Compute& compute);

  // x [T, D] -> y [T, D] (=, +=). `saved` may be null when no backward follows.
  void forward(const Compute& compute, View<const float> x, const AttentionBatch& batch, View<float> y,
               Write write, AttentionSaved* saved) const;
  // caches [sequences]: each sequence's own.
  void forward_cached(const Compute& compute, View<const float> x, const AttentionBatch& batch,
                      std::span<const KeyCache> caches, View<float> y, Write write) const;

  // x, batch and saved as in forward. dx [T, D] (=, +=).
  void backward(const Compute& compute, View<const float> x, const AttentionBatch& batch,
                const AttentionSaved& saved, View<const float> dy, View<float> dx, Write write);

  const AttentionConfig& config() const { return config_; }
  Linear& q_proj() { return q_; }
  Linear& k_proj() { return k_; }
  Linear& v_proj() { return v_; }
  Linear& o_proj() { return o_; }
  RmsNorm* q_norm() { return q_norm_.get(); }  // null without qk_norm
  RmsNorm* k_norm() { return k_norm_.get(); }
  void append_parameters(std::vector<Parameter*>& to);

 private:
  kernels::AttentionShape shape() const;
  // Norm (if there is one) and rotation of queries or keys x [T, heads * A] into y, which may be x and must
  // be without norm.
  void place(const Compute& compute, const RmsNorm* norm, std::span<const int32_t> positions,
             View<const float> x, View<float> y, std::span<float> inverse) const;
  // From the gradient of what was placed to that of x, in place.
  void place_backward(const Compute& compute, RmsNorm* norm, std::span<const int32_t> positions,
                      View<const float> x, std::span<const float> inverse, View<float> dy);

  AttentionConfig config_;
  Linear q_, k_, v_, o_;
  std::unique_ptr<RmsNorm> q_norm_, k_norm_;
};

}  // namespace agora::nn
