// Softmax attention over sequences that never holds a T x T matrix (Dao 2022, "FlashAttention", online
// softmax).
//
//   AttentionShape shape{.heads = 4, .kv_heads = 2, .head_width = 64, .causal = true};
//   attention_forward(compute, shape, sequences, q, k, v, out, log_sum);
//   attention_backward(compute, shape, sequences, q, k, v, out, log_sum, dout, dq, dk, dv);
//
// Heads share keys in groups of heads / kv_heads (Ainslie 2023, GQA). Keys are visited in ascending order in
// fixed blocks counted from the sequence's first key, so a query row's result is bitwise the same alone or in
// a batch, with a key cache or without, for any number of threads. With Precision::bf16 what the products
// read (queries, keys, values, shares of the softmax, gradients) is rounded to bf16 and added in f32; the
// softmax itself is f32. Any thread; the pool runs one loop at a time.
#pragma once

#include <span>

#include "agora/kernels/compute.h"
#include "agora/tensor/view.h"

namespace agora::kernels {

using tensor::View;

struct AttentionShape {
  int64_t heads = 1;
  int64_t kv_heads = 1;    // divides heads
  int64_t head_width = 0;  // A
  bool causal = true;      // query i of a sequence sees keys 0 .. (keys - queries + i)
  int64_t window = 0;  // 0: none; else a query sees only its last `window` keys, itself included, and where
                       // it is not causal as many on the other side
};

// One sequence of the batch: queries are rows [query_begin, query_begin + queries) of q and out, its keys are
// rows [key_begin, key_begin + keys) of k and v. Without a cache keys == queries; with one, keys >= queries.
struct AttentionSequence {
  int64_t query_begin = 0;
  int64_t queries = 0;
  int64_t key_begin = 0;
  int64_t keys = 0;
};

// q [T, heads * A], k and v [S, kv_heads * A], out [T, heads * A]; scale 1 / sqrt(A).
// log_sum [T, heads]: log of the softmax denominators, for backward; may be empty.
void attention_forward(const Compute& compute, const AttentionShape& shape,
                       std::span<const AttentionSequence> sequences, View<const float> q, View<const float> k,
                       View<const float> v, View<float> out, View<float> log_sum);

// Keys and values of one sequence, [S, kv_heads * A] each.
struct AttentionKeys {
  View<const float> k;
  View<const float> v;
};

// As above where the keys of every sequence lie apart: those of sequences[i] are rows of keys[i].
void attention_forward(const Compute& compute, const AttentionShape& shape,
                       std::span<const AttentionSequence> sequences, View<const float> q,
                       std::span<const AttentionKeys> keys, View<float> out);

// Writes (does not add) dq, dk, dv of the shapes of q, k, v, at the rows of the sequences. dq may be dout.
void attention_backward(const Compute& compute, const AttentionShape& shape,
                        std::span<const AttentionSequence> sequences, View<const float> q,
                        View<const float> k, View<const float> v, View<const float> out,
                        View<const float> log_sum, View<const float> dout, View<float> dq, View<float> dk,
                        View<float> dv);

}  // namespace agora::kernels
