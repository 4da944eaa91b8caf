// Which keys a query sees, and the rows that share keys: arithmetic that the passes of attention have in
// common.
//
// A *row* is one (query, head) pair of a group of heads that share keys: row = query * group + head within
// the group. Rows are in ascending order of the first and of the last key they see. Any thread (values).
#pragma once

#include <algorithm>

#include "agora/kernels/attention.h"
#include "agora/kernels/table.h"
#include "agora/tensor/buffer.h"

namespace agora::kernels {

// Keys are visited in blocks of this many, counted from the sequence's first key.
constexpr int64_t kKeyBlock = 64;

// Rows or keys from the one that is read to the one that is fetched.
constexpr int64_t kFetchAhead = 8;

struct KeyRange {
  int64_t begin = 0;
  int64_t end = 0;
};

// One sequence and one key head, with the query heads that share it.
struct AttentionPlan {
  AttentionShape shape;
  AttentionSequence sequence;
  int64_t kv_head = 0;

  int64_t group() const { return shape.heads / shape.kv_heads; }
  int64_t rows() const { return sequence.queries * group(); }

  // Where a row's numbers begin in q, out and their gradients, and a key's in k, v and theirs.
  template <class T>
  T* of_row(View<T> x, int64_t row) const {
    return x.row(query(row)) + head(row) * shape.head_width;
  }
  template <class T>
  T* of_key(View<T> x, int64_t key) const {
    return x.row(sequence.key_begin + key) + kv_head * shape.head_width;
  }
  int64_t query(int64_t row) const { return sequence.query_begin + row / group(); }
  int64_t head(int64_t row) const { return kv_head * group() + row % group(); }

  // Keys of the sequence that a row sees.
  KeyRange visible(int64_t row) const {
    const int64_t own = sequence.keys - sequence.queries + row / group();
    KeyRange range{0, shape.causal ? own + 1 : sequence.keys};
    if (shape.window > 0) {
      range.begin = std::max<int64_t>(0, own - shape.window + 1);
      range.end = std::min(range.end, own + shape.window);
    }
    return range;
  }
  // Keys that any of the rows sees.
  KeyRange visible(int64_t row_begin, int64_t row_end) const {
    return {visible(row_begin).begin, visible(row_end - 1).end};
  }

  // Brings a row, or a key, that will be read soon into the caches: a head's part of a row is too short for
  // the processor to see where the next one lies. One behind the last is left alone.
  void fetch_row(View<const float> x, int64_t row) const {
    if (row < rows()) fetch(of_row(x, row));
  }
  void fetch_key(View<const float> x, int64_t key) const {
    if (key < sequence.keys) fetch(of_key(x, key));
  }
  void fetch(const float* head) const {
    constexpr int64_t kLine = 16;  // numbers
    for (int64_t i = 0; i < shape.head_width; i += kLine) __builtin_prefetch(head + i);
  }

  // Copies rows, or keys, to `to` with `width` numbers from one to the next.
  void gather_rows(View<const float> x, int64_t begin, int64_t end, int64_t width, float* to) const {
    for (int64_t r = begin; r < end; ++r)
      std::copy_n(of_row(x, r), shape.head_width, to + (r - begin) * width);
  }
  void gather_keys(View<const float> x, int64_t begin, int64_t end, int64_t width, float* to) const {
    for (int64_t j = begin; j < end; ++j)
      std::copy_n(of_key(x, j), shape.head_width, to + (j - begin) * width);
  }
};

// The part of `range` inside the block of keys that begins at `first`, counted from there.
inline KeyRange within_block(KeyRange range, int64_t first) {
  const int64_t begin = std::clamp<int64_t>(range.begin - first, 0, kKeyBlock);
  return {begin, std::clamp<int64_t>(range.end - first, begin, kKeyBlock)};
}

inline tensor::Buffer<float> uninitialised(size_t numbers) {
  return tensor::Buffer<float>::uninitialised(1, static_cast<int64_t>(numbers), tensor::Purpose::scratch);
}

// The passes with bf16 products that add in f32 (Precision::bf16): rows [row_begin, row_end) forward, and all
// rows of a plan backward.
void attention_rows_bf16(const Table& table, const AttentionPlan& plan, int64_t row_begin, int64_t row_end,
                         View<const float> q, View<const float> k, View<const float> v, View<float> out,
                         View<float> log_sum);
void attention_backward_bf16(const Table& table, const AttentionPlan& plan, View<const float> q,
                             View<const float> k, View<const float> v, View<const float> out,
                             View<const float> log_sum, View<const float> dout, View<float> dq,
                             View<float> dk, View<float> dv);

// Checks that shapes, sequences and views agree.
void check_attention(const AttentionShape& shape, std::span<const AttentionSequence> sequences,
                     View<const float> q, View<const float> k, View<const float> v);

}  // namespace agora::kernels
