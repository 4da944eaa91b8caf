#include <cmath>
#include <vector>

#include "agora/kernels/attention_plan.h"
#include "agora/kernels/highway_targets.h"
#include "agora/tensor/buffer.h"

// The order of these is their meaning.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "agora/kernels/attention_backward.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "agora/kernels/attention_softmax-inl.h"
#include "agora/kernels/block_product-inl.h"
#include "agora/kernels/vector_math-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace agora::kernels::HWY_NAMESPACE {

constexpr size_t kBlock = kKeyBlock;  // of keys, and of rows

// Memory of one piece: all rows of a sequence that share a key head, and one block of their keys. Matrices of
// rows and keys are padded to 16 columns.
struct BackwardMemory {
  BackwardMemory(size_t rows, size_t head_width)
      : width(static_cast<size_t>(round_up(static_cast<int64_t>(head_width), 16))),
        memory(uninitialised((3 * rows + 3 * kBlock) * width + 2 * kBlock * (head_width + kBlock))),
        delta(rows),
        log_sum(rows) {
    queries = memory.data();
    mixed_gradient = queries + rows * width;
    query_gradient = mixed_gradient + rows * width;
    keys = query_gradient + rows * width;
    key_gradient = keys + kBlock * width;
    value_gradient = key_gradient + kBlock * width;
    keys_transposed = value_gradient + kBlock * width;
    values_transposed = keys_transposed + kBlock * head_width;
    shares = values_transposed + kBlock * head_width;
    share_gradient = shares + kBlock * kBlock;
    std::fill(queries, shares, 0.0f);
  }
  size_t width;
  tensor::Buffer<float> memory;
  std::vector<float> delta;    // [rows] dout . out
  std::vector<float> log_sum;  // [rows]
  float* queries;              // [rows, width]
  float* mixed_gradient;       // [rows, width] dout
  float* query_gradient;       // [rows, width]
  float* keys;                 // [kBlock, width]
  float* key_gradient;         // [kBlock, width]
  float* value_gradient;       // [kBlock, width]
  float* keys_transposed;      // [head_width, kBlock]
  float* values_transposed;    // [head_width, kBlock]
  float* shares;               // [kBlock rows, kBlock keys] the softmax
  float* share_gradient;       // likewise: of the scores
};

// The shares and score gradients of rows [begin, end) of the piece, and what they add to the queries'
// gradient.
HWY_INLINE void BackwardTiles(const AttentionPlan& plan, size_t begin, size_t end, int64_t first, float scale,
                              BackwardMemory& m) {
  const auto head_width = static_cast<size_t>(plan.shape.head_width);
  for (size_t r = begin; r < end; r += kTileRows) {
    const size_t tile = HWY_MIN(kTileRows, end - r);
    const auto row = static_cast<int64_t>(r);
    const KeyRange seen = within_block(plan.visible(row, row + static_cast<int64_t>(tile)), first);
    float* shares = m.shares + (r - begin) * kBlock;
    float* gradient = m.share_gradient + (r - begin) * kBlock;
    const auto cols = static_cast<size_t>(round_up(seen.end, 16));
    Product({m.queries + r * m.width, m.width}, m.keys_transposed, kBlock, tile, cols, head_width, shares,
            kBlock, Write::replace);
    Product({m.mixed_gradient + r * m.width, m.width}, m.values_transposed, kBlock, tile, cols, head_width,
            gradient, kBlock, Write::replace);
    for (size_t i = 0; i < tile; ++i) {
      const KeyRange own = within_block(plan.visible(row + static_cast<int64_t>(i)), first);
      SoftmaxBackwardRow(shares + i * kBlock, gradient + i * kBlock, cols, own, scale, m.log_sum[r + i],
                         m.delta[r + i]);
    }
    const auto skipped = static_cast<size_t>(seen.begin);
    Product({gradient + skipped, kBlock}, m.keys + skipped * m.width, m.width, tile, m.width,
            static_cast<size_t>(seen.end) - skipped, m.query_gradient + r * m.width, m.width, Write::add);
  }
}

// What rows [begin, end) of the piece add to the gradients of keys and values. A tile of keys skips the rows
// before the first that sees it.
HWY_INLINE void BackwardKeys(const AttentionPlan& plan, size_t begin, size_t end, int64_t first, size_t keys,
                             BackwardMemory& m) {
  size_t row = begin;
  for (size_t j = 0; j < keys; j += kTileRows) {
    while (row < end && plan.visible(static_cast<int64_t>(row)).end <= first + static_cast<int64_t>(j)) ++row;
    if (row == end) return;
    const size_t tile = HWY_MIN(kTileRows, keys - j), skipped = (row - begin) * kBlock + j;
    Product({m.shares + skipped, 1, kBlock}, m.mixed_gradient + row * m.width, m.width, tile, m.width,
            end - row, m.value_gradient + j * m.width, m.width, Write::add);
    Product({m.share_gradient + skipped, 1, kBlock}, m.queries + row * m.width, m.width, tile, m.width,
            end - row, m.key_gradient + j * m.width, m.width, Write::add);
  }
}

// One block of keys meets all rows that see any of it.
HWY_INLINE void BackwardBlock(const AttentionPlan& plan, int64_t first, float scale, View<const float> k,
                              View<const float> v, View<float> dk, View<float> dv, BackwardMemory& m) {
  const int64_t head_width = plan.shape.head_width, end = std::min(first + kKeyBlock, plan.sequence.keys);
  const auto keys = static_cast<size_t>(end - first), rows = static_cast<size_t>(plan.rows());
  plan.gather_keys(k, first, end, static_cast<int64_t>(m.width), m.keys);
  Transpose(plan.of_key(k, first), static_cast<size_t>(k.row_stride), keys, static_cast<size_t>(head_width),
            m.keys_transposed, kBlock);
  Transpose(plan.of_key(v, first), static_cast<size_t>(v.row_stride), keys, static_cast<size_t>(head_width),
            m.values_transposed, kBlock);
  std::fill(m.key_gradient, m.key_gradient + 2 * kBlock * m.width, 0.0f);
  for (size_t r = 0; r < rows; r += kBlock) {
    const size_t row_end = HWY_MIN(r + kBlock, rows);
    const KeyRange seen =
        within_block(plan.visible(static_cast<int64_t>(r), static_cast<int64_t>(row_end)), first);
    if (seen.begin == seen.end) continue;
    BackwardTiles(plan, r, row_end, first, scale, m);
    BackwardKeys(plan, r, row_end, first, keys, m);
  }
  for (size_t j = 0; j < keys; ++j) {
    const int64_t key = first + static_cast<int64_t>(j);
    std::copy_n(m.key_gradient + j * m.width, head_width, plan.of_key(dk, key));
    std::copy_n(m.value_gradient + j * m.width, head_width, plan.of_key(dv, key));
  }
}

void AttentionBackward(const AttentionPlan& plan, View<const float> q, View<const float> k,
                       View<const float> v, View<const float> out, View<const float> log_sum,
                       View<const float> dout, View<float> dq, View<float> dk, View<float> dv) {
  const int64_t head_width = plan.shape.head_width;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_width));
  BackwardMemory m(static_cast<size_t>(plan.rows()), static_cast<size_t>(head_width));
  const auto width = static_cast<int64_t>(m.width);
  plan.gather_rows(q, 0, plan.rows(), width, m.queries);
  plan.gather_rows(dout, 0, plan.rows(), width, m.mixed_gradient);
  OutputDots(plan, out, dout, m.delta.data());
  for (int64_t row = 0; row < plan.rows(); ++row) {
    m.log_sum[static_cast<size_t>(row)] = log_sum.row(plan.query(row))[plan.head(row)];
  }
  for (int64_t first = 0; first < plan.sequence.keys; first += kKeyBlock) {
    BackwardBlock(plan, first, scale, k, v, dk, dv, m);
  }
  for (int64_t row = 0; row < plan.rows(); ++row) {
    std::copy_n(m.query_gradient + row * width, head_width, plan.of_row(dq, row));
  }
}

}  // namespace agora::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace agora::kernels {
namespace {

HWY_EXPORT(AttentionBackward);

}  // namespace

void attention_backward(const Compute& compute, const AttentionShape& shape,
                        std::span<const AttentionSequence> sequences, View<const float> q,
                        View<const float> k, View<const float> v, View<const float> out,
                        View<const float> log_sum, View<const float> dout, View<float> dq, View<float> dk,
                        View<float> dv) {
  check_attention(shape, sequences, q, k, v);
  AGORA_CHECK(out.rows == q.rows && dout.rows == q.rows && dq.rows == q.rows && log_sum.rows == q.rows);
  AGORA_CHECK(out.cols == q.cols && dout.cols == q.cols && dq.cols == q.cols && log_sum.cols == shape.heads);
  AGORA_CHECK(dk.rows == k.rows && dk.cols == k.cols && dv.rows == k.rows && dv.cols == k.cols);
  const auto pieces = static_cast<int64_t>(sequences.size()) * shape.kv_heads;
  compute.pool->run(pieces, [&](int64_t piece) {
    const AttentionPlan plan{shape, sequences[static_cast<size_t>(piece / shape.kv_heads)],
                             piece % shape.kv_heads};
    if (compute.precision == Precision::bf16) {
      attention_backward_bf16(*compute.table, plan, q, k, v, out, log_sum, dout, dq, dk, dv);
    } else {
      HWY_DYNAMIC_DISPATCH(AttentionBackward)(plan, q, k, v, out, log_sum, dout, dq, dk, dv);
    }
  });
}

}  // namespace agora::kernels
#endif
