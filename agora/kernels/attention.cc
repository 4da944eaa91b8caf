#include "agora/kernels/attention.h"

#include <cmath>
#include <vector>

#include "agora/kernels/attention_plan.h"
#include "agora/kernels/highway_targets.h"
#include "agora/tensor/buffer.h"

// The order of these is their meaning.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "agora/kernels/attention.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "agora/kernels/attention_softmax-inl.h"
#include "agora/kernels/block_product-inl.h"
#include "agora/kernels/vector_math-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace agora::kernels::HWY_NAMESPACE {

// Memory of one job; every matrix is padded to 16 columns. Scores are there for one tile at a time.
struct ForwardMemory {
  ForwardMemory(size_t rows, size_t head_width)
      : width(static_cast<size_t>(round_up(static_cast<int64_t>(head_width), 16))),
        memory(uninitialised((2 * rows + kBlock) * width + kBlock * (head_width + kTileRows))),
        states(rows) {
    queries = memory.data();
    mixed = queries + rows * width;
    values = mixed + rows * width;
    keys_transposed = values + kBlock * width;
    scores = keys_transposed + kBlock * head_width;
    std::fill(mixed, scores, 0.0f);
  }
  static constexpr size_t kBlock = kKeyBlock;
  size_t width;
  tensor::Buffer<float> memory;
  std::vector<RowState> states;
  float* queries;          // [rows, width]
  float* mixed;            // [rows, width]: sums of exponential * value
  float* values;           // [kBlock, width]
  float* keys_transposed;  // [head_width, kBlock]
  float* scores;           // [kTileRows, kBlock]
};

// Rows row_begin + tile_begin .. of one register tile meet the block of keys that begins at `first`.
HWY_INLINE void MixTile(const AttentionPlan& plan, int64_t row_begin, size_t tile_begin, size_t tile_rows,
                        int64_t first, float scale, ForwardMemory& m) {
  constexpr size_t kBlock = ForwardMemory::kBlock;
  const int64_t row = row_begin + static_cast<int64_t>(tile_begin);
  const KeyRange seen = within_block(plan.visible(row, row + static_cast<int64_t>(tile_rows)), first);
  if (seen.begin == seen.end) return;
  const auto cols = static_cast<size_t>(round_up(seen.end, 16));
  float* mixed = m.mixed + tile_begin * m.width;
  Product({m.queries + tile_begin * m.width, m.width}, m.keys_transposed, kBlock, tile_rows, cols,
          static_cast<size_t>(plan.shape.head_width), m.scores, kBlock, Write::replace);
  for (size_t i = 0; i < tile_rows; ++i) {
    const KeyRange own = within_block(plan.visible(row + static_cast<int64_t>(i)), first);
    SoftmaxBlock(m.scores + i * kBlock, cols, own, scale, m.states[tile_begin + i], mixed + i * m.width,
                 m.width);
  }
  const auto skipped = static_cast<size_t>(seen.begin);
  Product({m.scores + skipped, kBlock}, m.values + skipped * m.width, m.width, tile_rows, m.width,
          static_cast<size_t>(seen.end) - skipped, mixed, m.width, Write::add);
}

void AttentionRows(const AttentionPlan& plan, int64_t row_begin, int64_t row_end, View<const float> q,
                   View<const float> k, View<const float> v, View<float> out, View<float> log_sum) {
  const int64_t head_width = plan.shape.head_width;
  const auto rows = static_cast<size_t>(row_end - row_begin);
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_width));
  ForwardMemory m(rows, static_cast<size_t>(head_width));
  const auto width = static_cast<int64_t>(m.width);
  plan.gather_rows(q, row_begin, row_end, width, m.queries);

  const KeyRange seen = plan.visible(row_begin, row_end);
  for (int64_t first = seen.begin / kKeyBlock * kKeyBlock; first < seen.end; first += kKeyBlock) {
    const int64_t end = std::min(first + kKeyBlock, plan.sequence.keys);
    plan.gather_keys(v, first, end, width, m.values);
    Transpose(plan.of_key(k, first), static_cast<size_t>(k.row_stride), static_cast<size_t>(end - first),
              static_cast<size_t>(head_width), m.keys_transposed, m.kBlock);
    for (size_t r = 0; r < rows; r += kTileRows) {
      MixTile(plan, row_begin, r, HWY_MIN(kTileRows, rows - r), first, scale, m);
    }
  }

  for (size_t r = 0; r < rows; ++r) {
    FinishRow(plan, row_begin + static_cast<int64_t>(r), m.states[r], m.mixed + r * m.width, out, log_sum);
  }
}

}  // namespace agora::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace agora::kernels {
namespace {

HWY_EXPORT(AttentionRows);

// Rows that visit a block of keys together: enough to pay for transposing it, few enough to stay in the
// second cache.
constexpr int64_t kRowsOfJob = 128;

void check_sequence(const AttentionShape& shape, const AttentionSequence& s, View<const float> q,
                    View<const float> k, View<const float> v) {
  AGORA_CHECK_EQ(k.cols, shape.kv_heads * shape.head_width);
  AGORA_CHECK(v.rows == k.rows && v.cols == k.cols);
  AGORA_CHECK(s.query_begin >= 0 && s.queries >= 0 && s.query_begin + s.queries <= q.rows);
  AGORA_CHECK(s.key_begin >= 0 && s.keys >= s.queries && s.key_begin + s.keys <= k.rows);
}

void check_shape(const AttentionShape& shape, View<const float> q) {
  AGORA_CHECK(shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0 && shape.head_width > 0);
  AGORA_CHECK_EQ(q.cols, shape.heads * shape.head_width);
}

// keys_of(i): the keys of sequence i.
template <class KeysOf>
void run_forward(const Compute& compute, const AttentionShape& shape,
                 std::span<const AttentionSequence> sequences, View<const float> q, const KeysOf& keys_of,
                 View<float> out, View<float> log_sum) {
  AGORA_CHECK(out.rows == q.rows && out.cols == q.cols);
  AGORA_CHECK(log_sum.empty() || (log_sum.rows == q.rows && log_sum.cols == shape.heads));
  struct Job {
    AttentionPlan plan;
    AttentionKeys keys;
    int64_t row_begin;
  };
  std::vector<Job> jobs;
  for (size_t i = 0; i < sequences.size(); ++i) {
    for (int64_t kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
      const AttentionPlan plan{shape, sequences[i], kv_head};
      for (int64_t row = 0; row < plan.rows(); row += kRowsOfJob) jobs.push_back({plan, keys_of(i), row});
    }
  }
  compute.pool->run(static_cast<int64_t>(jobs.size()), [&](int64_t i) {
    const auto& [plan, keys, row_begin] = jobs[static_cast<size_t>(i)];
    const int64_t row_end = std::min(row_begin + kRowsOfJob, plan.rows());
    if (compute.precision == Precision::bf16) {
      attention_rows_bf16(*compute.table, plan, row_begin, row_end, q, keys.k, keys.v, out, log_sum);
    } else {
      HWY_DYNAMIC_DISPATCH(AttentionRows)(plan, row_begin, row_end, q, keys.k, keys.v, out, log_sum);
    }
  });
}

}  // namespace

void check_attention(const AttentionShape& shape, std::span<const AttentionSequence> sequences,
                     View<const float> q, View<const float> k, View<const float> v) {
  check_shape(shape, q);
  for (const AttentionSequence& s : sequences) check_sequence(shape, s, q, k, v);
}

void attention_forward(const Compute& compute, const AttentionShape& shape,
                       std::span<const AttentionSequence> sequences, View<const float> q, View<const float> k,
                       View<const float> v, View<float> out, View<float> log_sum) {
  check_attention(shape, sequences, q, k, v);
  run_forward(
      compute, shape, sequences, q,
      [&](size_t) {
        return AttentionKeys{k, v};
      },
      out, log_sum);
}

void attention_forward(const Compute& compute, const AttentionShape& shape,
                       std::span<const AttentionSequence> sequences, View<const float> q,
                       std::span<const AttentionKeys> keys, View<float> out) {
  check_shape(shape, q);
  AGORA_CHECK_EQ(keys.size(), sequences.size());
  for (size_t i = 0; i < sequences.size(); ++i) check_sequence(shape, sequences[i], q, keys[i].k, keys[i].v);
  run_forward(compute, shape, sequences, q, [&](size_t i) { return keys[i]; }, out, {});
}

}  // namespace agora::kernels
#endif
