// Attention forward with the table's products of bf16: scores and shares meet queries, keys and values that
// are rounded once, and add in f32. The softmax between them is f32.
#include <cmath>
#include <vector>

#include "agora/kernels/attention_plan.h"
#include "agora/kernels/highway_targets.h"
#include "agora/kernels/table.h"
#include "agora/kernels/workspace.h"

// The order of these is their meaning.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "agora/kernels/attention_bf16.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "agora/kernels/attention_softmax-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace agora::kernels::HWY_NAMESPACE {

// Rows that meet a block of keys at once: whole tiles, few enough to skip most keys that none of them sees.
constexpr int64_t kStripRows = 24;

// One job: some rows of a sequence against its keys, block after block. Panels as in matmul.h.
class RowsBf16 {
 public:
  RowsBf16(const Loops<bf16>& loops, const AttentionPlan& plan, int64_t row_begin, int64_t row_end)
      : loops_(loops),
        plan_(plan),
        row_begin_(row_begin),
        rows_(row_end - row_begin),
        scale_(1.0f / std::sqrt(static_cast<float>(plan.shape.head_width))),
        states_(static_cast<size_t>(rows_)) {
    Arena size;
    lay_out(size);
    memory_ = tensor::Buffer<std::byte>::uninitialised(1, size.used(), tensor::Purpose::scratch);
    Arena arena(memory_.data());
    lay_out(arena);
    std::fill_n(mixed_, rows_ * width(), 0.0f);
  }

  void run(View<const float> q, View<const float> k, View<const float> v, View<float> out,
           View<float> log_sum) {
    for (int64_t r = 0; r < rows_; ++r) {
      plan_.fetch_row(q, row_begin_ + r + kFetchAhead);
      loops_.round(plan_.of_row(q, row_begin_ + r), head_width(), even_width(), queries_ + r * even_width());
    }
    const KeyRange seen = plan_.visible(row_begin_, row_begin_ + rows_);
    for (int64_t first = seen.begin / kKeyBlock * kKeyBlock; first < seen.end; first += kKeyBlock) {
      pack_keys(k, v, first);
      for (int64_t r = 0; r < rows_; r += kStripRows) mix_strip(r, std::min(kStripRows, rows_ - r), first);
    }
    for (int64_t r = 0; r < rows_; ++r) {
      FinishRow(plan_, row_begin_ + r, states_[static_cast<size_t>(r)], mixed_ + r * width(), out, log_sum);
    }
  }

 private:
  int64_t head_width() const { return plan_.shape.head_width; }
  int64_t even_width() const { return round_up(head_width(), kStep<bf16>); }
  int64_t width() const { return round_up(head_width(), kPanelWidth); }

  void lay_out(Arena& arena) {
    queries_ = arena.take<bf16>(rows_ * even_width());
    keys_ = arena.take<bf16>(kKeyBlock * even_width());
    values_ = arena.take<bf16>(kKeyBlock * width());
    shares_ = arena.take<bf16>(kStripRows * kKeyBlock);
    scores_ = arena.take<float>(kStripRows * kKeyBlock);
    mixed_ = arena.take<float>(rows_ * width());
  }

  void pack_keys(View<const float> k, View<const float> v, int64_t first) {
    const int64_t keys = std::min(kKeyBlock, plan_.sequence.keys - first);
    for (int64_t j = 0; j < keys; ++j) {
      plan_.fetch_key(k, first + j);
      plan_.fetch_key(v, first + j);
    }
    for (int64_t j = 0; j < keys; j += kPanelWidth) {
      loops_.pack_rows(plan_.of_key(k, first + j), k.row_stride, std::min(kPanelWidth, keys - j),
                       head_width(), keys_ + j * even_width());
    }
    for (int64_t j = 0; j < keys; j += kStep<bf16>) {
      const float* second = j + 1 < keys ? plan_.of_key(v, first + j + 1) : nullptr;
      loops_.pack_step(plan_.of_key(v, first + j), second, 1.0f, 1.0f, head_width(),
                       values_ + j * kPanelWidth, panel_size<bf16>(kKeyBlock));
    }
  }

  // Rows r .. r + count - 1 of the job meet the block of keys that begins at `first`.
  void mix_strip(int64_t r, int64_t count, int64_t first) {
    const int64_t row = row_begin_ + r;
    const KeyRange seen = within_block(plan_.visible(row, row + count), first);
    if (seen.begin == seen.end) return;
    Block<bf16> scores;
    scores.set_rows(queries_ + r * even_width(), even_width());
    scores.b = keys_;
    scores.b_panel = panel_size<bf16>(head_width());
    scores.c = scores_;
    scores.c_row = kKeyBlock;
    scores.rows = count;
    scores.panels = (seen.end + kPanelWidth - 1) / kPanelWidth;
    scores.steps = steps_of<bf16>(head_width());
    loops_.product(scores);

    const int64_t cols = scores.panels * kPanelWidth;
    for (int64_t i = 0; i < count; ++i) {
      float* of_row = scores_ + i * kKeyBlock;
      SoftmaxBlock(of_row, static_cast<size_t>(cols), within_block(plan_.visible(row + i), first), scale_,
                   states_[static_cast<size_t>(r + i)], mixed_ + (r + i) * width(),
                   static_cast<size_t>(width()));
      loops_.round(of_row, cols, cols, shares_ + i * kKeyBlock);
    }
    Block<bf16> mixed;
    mixed.set_rows(shares_, kKeyBlock);
    mixed.b = values_;
    mixed.b_panel = panel_size<bf16>(kKeyBlock);
    mixed.c = mixed_ + r * width();
    mixed.c_row = width();
    mixed.rows = count;
    mixed.panels = width() / kPanelWidth;
    mixed.steps = steps_of<bf16>(seen.end);
    mixed.add = true;
    loops_.product(mixed);
  }

  const Loops<bf16>& loops_;
  const AttentionPlan& plan_;
  int64_t row_begin_;
  int64_t rows_;
  float scale_;
  std::vector<RowState> states_;
  tensor::Buffer<std::byte> memory_;
  bf16* queries_ = nullptr;  // [rows, even width]
  bf16* keys_ = nullptr;     // panels of keys, inner dimension the head's width
  bf16* values_ = nullptr;   // panels of the head's columns, inner dimension the keys
  bf16* shares_ = nullptr;   // [kStripRows, kKeyBlock] the softmax, not divided yet
  float* scores_ = nullptr;  // [kStripRows, kKeyBlock]
  float* mixed_ = nullptr;   // [rows, width] sums of share * value
};

void AttentionRowsBf16(const Table& table, const AttentionPlan& plan, int64_t row_begin, int64_t row_end,
                       View<const float> q, View<const float> k, View<const float> v, View<float> out,
                       View<float> log_sum) {
  RowsBf16(table.bf16_loops, plan, row_begin, row_end).run(q, k, v, out, log_sum);
}

}  // namespace agora::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace agora::kernels {

HWY_EXPORT(AttentionRowsBf16);

void attention_rows_bf16(const Table& table, const AttentionPlan& plan, int64_t row_begin, int64_t row_end,
                         View<const float> q, View<const float> k, View<const float> v, View<float> out,
                         View<float> log_sum) {
  HWY_DYNAMIC_DISPATCH(AttentionRowsBf16)(table, plan, row_begin, row_end, q, k, v, out, log_sum);
}

}  // namespace agora::kernels
#endif
