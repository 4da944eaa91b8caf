// Attention backward with the table's products of bf16. Of the softmax, shares and the scores' gradient are
// made again from log_sum in f32 and rounded for the products that they go into.
#include <cmath>

#include "agora/kernels/attention_plan.h"
#include "agora/kernels/highway_targets.h"
#include "agora/kernels/table.h"
#include "agora/kernels/workspace.h"

// The order of these is their meaning.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "agora/kernels/attention_backward_bf16.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "agora/kernels/attention_softmax-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace agora::kernels::HWY_NAMESPACE {

constexpr int64_t kBlock = kKeyBlock;  // of keys, and of rows

// One piece: all rows of a sequence that share a key head. A matrix of rows is there twice where it is read
// both ways: as rows, and as panels whose inner dimension is the rows.
class BackwardBf16 {
 public:
  BackwardBf16(const Loops<bf16>& loops, const AttentionPlan& plan)
      : loops_(loops),
        plan_(plan),
        rows_(plan.rows()),
        scale_(1.0f / std::sqrt(static_cast<float>(plan.shape.head_width))) {
    Arena size;
    lay_out(size);
    memory_ = tensor::Buffer<std::byte>::uninitialised(1, size.used(), tensor::Purpose::scratch);
    Arena arena(memory_.data());
    lay_out(arena);
    std::fill_n(query_gradient_, rows_ * width(), 0.0f);
  }

  void read_rows(View<const float> q, View<const float> out, View<const float> log_sum,
                 View<const float> dout) {
    pack_rows_twice(q, queries_, query_panels_);
    pack_rows_twice(dout, output_gradient_, output_gradient_panels_);
    OutputDots(plan_, out, dout, delta_);
    for (int64_t r = 0; r < rows_; ++r) log_sum_[r] = log_sum.row(plan_.query(r))[plan_.head(r)];
  }

  // One block of keys meets all rows that see any of it.
  void meet_keys(View<const float> k, View<const float> v, int64_t first, View<float> dk, View<float> dv) {
    const int64_t keys = std::min(kBlock, plan_.sequence.keys - first);
    pack_keys(k, v, first, keys);
    std::fill_n(key_gradient_, keys * width(), 0.0f);
    std::fill_n(value_gradient_, keys * width(), 0.0f);
    for (int64_t r = 0; r < rows_; r += kBlock) {
      const int64_t end = std::min(r + kBlock, rows_);
      const KeyRange seen = within_block(plan_.visible(r, end), first);
      if (seen.begin == seen.end) continue;
      // Where not every row sees the block's last key, strips skip what none of them sees.
      const int64_t strip = plan_.visible(r).end < first + keys ? kPanelWidth : kBlock;
      for (int64_t s = r; s < end; s += strip) meet_strip(r, s, std::min(s + strip, end), first);
      add_key_gradients(r, end, first, keys);
    }
    for (int64_t j = 0; j < keys; ++j) {
      std::copy_n(key_gradient_ + j * width(), head_width(), plan_.of_key(dk, first + j));
      std::copy_n(value_gradient_ + j * width(), head_width(), plan_.of_key(dv, first + j));
    }
  }

  void write_rows(View<float> dq) const {
    for (int64_t r = 0; r < rows_; ++r) {
      std::copy_n(query_gradient_ + r * width(), head_width(), plan_.of_row(dq, r));
    }
  }

 private:
  int64_t head_width() const { return plan_.shape.head_width; }
  int64_t even_width() const { return round_up(head_width(), kStep<bf16>); }
  int64_t width() const { return round_up(head_width(), kPanelWidth); }

  void lay_out(Arena& arena) {
    const int64_t even_rows = round_up(rows_, kStep<bf16>);
    for (bf16** rows : {&queries_, &output_gradient_}) *rows = arena.take<bf16>(rows_ * even_width());
    for (bf16** panels : {&query_panels_, &output_gradient_panels_}) {
      *panels = arena.take<bf16>(even_rows * width());
    }
    query_gradient_ = arena.take<float>(rows_ * width());
    delta_ = arena.take<float>(rows_);
    log_sum_ = arena.take<float>(rows_);
    for (bf16** panels : {&keys_, &values_}) *panels = arena.take<bf16>(kBlock * even_width());
    key_panels_ = arena.take<bf16>(kBlock * width());
    for (float** rows : {&key_gradient_, &value_gradient_}) *rows = arena.take<float>(kBlock * width());
    for (float** block : {&shares_, &score_gradient_}) *block = arena.take<float>(kBlock * kBlock);
    for (bf16** block : {&share_panels_, &score_gradient_panels_, &score_gradient_rows_}) {
      *block = arena.take<bf16>(kBlock * kBlock);
    }
  }

  void pack_rows_twice(View<const float> x, bf16* rows, bf16* panels) const {
    for (int64_t r = 0; r < rows_; ++r) {
      plan_.fetch_row(x, r + kFetchAhead);
      loops_.round(plan_.of_row(x, r), head_width(), even_width(), rows + r * even_width());
      if (r % kStep<bf16> != 0) continue;
      const float* second = r + 1 < rows_ ? plan_.of_row(x, r + 1) : nullptr;
      loops_.pack_step(plan_.of_row(x, r), second, 1.0f, 1.0f, head_width(), panels + r * kPanelWidth,
                       panel_size<bf16>(rows_));
    }
  }

  void pack_keys(View<const float> k, View<const float> v, int64_t first, int64_t keys) const {
    for (int64_t j = 0; j < keys; ++j) {
      plan_.fetch_key(k, first + j);
      plan_.fetch_key(v, first + j);
    }
    for (int64_t j = 0; j < keys; j += kPanelWidth) {
      const int64_t count = std::min(kPanelWidth, keys - j);
      loops_.pack_rows(plan_.of_key(k, first + j), k.row_stride, count, head_width(),
                       keys_ + j * even_width());
      loops_.pack_rows(plan_.of_key(v, first + j), v.row_stride, count, head_width(),
                       values_ + j * even_width());
    }
    for (int64_t j = 0; j < keys; j += kStep<bf16>) {
      const float* second = j + 1 < keys ? plan_.of_key(k, first + j + 1) : nullptr;
      loops_.pack_step(plan_.of_key(k, first + j), second, 1.0f, 1.0f, head_width(),
                       key_panels_ + j * kPanelWidth, panel_size<bf16>(kBlock));
    }
  }

  // c [rows of the strip, kBlock] = rows . keys^T
  void score(const bf16* rows, const bf16* keys, int64_t count, int64_t panels, float* c) const {
    Block<bf16> block;
    block.set_rows(rows, even_width());
    block.b = keys;
    block.b_panel = panel_size<bf16>(head_width());
    block.c = c;
    block.c_row = kBlock;
    block.rows = count;
    block.panels = panels;
    block.steps = steps_of<bf16>(head_width());
    loops_.product(block);
  }

  // The shares and score gradients of rows [begin, end), which belong to the block of rows from `block_row`
  // on, and what they add to the queries' gradient.
  void meet_strip(int64_t block_row, int64_t begin, int64_t end, int64_t first) const {
    const int64_t at = begin - block_row, count = end - begin;
    float* shares = shares_ + at * kBlock;
    float* gradient = score_gradient_ + at * kBlock;
    bf16* gradient_rows = score_gradient_rows_ + at * kBlock;
    const KeyRange seen = within_block(plan_.visible(begin, end), first);
    const int64_t panels = (seen.end + kPanelWidth - 1) / kPanelWidth;
    score(queries_ + begin * even_width(), keys_, count, panels, shares);
    score(output_gradient_ + begin * even_width(), values_, count, panels, gradient);
    for (int64_t i = 0; i < count; ++i) {
      const KeyRange own = within_block(plan_.visible(begin + i), first);
      SoftmaxBackwardRow(shares + i * kBlock, gradient + i * kBlock,
                         static_cast<size_t>(panels * kPanelWidth), own, scale_, log_sum_[begin + i],
                         delta_[begin + i]);
      loops_.round(gradient + i * kBlock, kBlock, kBlock, gradient_rows + i * kBlock);
    }
    pack_block(shares, count, share_panels_ + at * kPanelWidth);
    pack_block(gradient, count, score_gradient_panels_ + at * kPanelWidth);
    if (seen.begin == seen.end) return;
    Block<bf16> block;
    block.set_rows(gradient_rows, kBlock);
    block.b = key_panels_;
    block.b_panel = panel_size<bf16>(kBlock);
    block.c = query_gradient_ + begin * width();
    block.c_row = width();
    block.rows = count;
    block.panels = width() / kPanelWidth;
    block.steps = steps_of<bf16>(seen.end);
    block.add = true;
    loops_.product(block);
  }

  // Rows of a block as panels of keys whose inner dimension is the rows.
  void pack_block(const float* from, int64_t count, bf16* panels) const {
    for (int64_t i = 0; i < count; i += kStep<bf16>) {
      const float* second = i + 1 < count ? from + (i + 1) * kBlock : nullptr;
      loops_.pack_step(from + i * kBlock, second, 1.0f, 1.0f, kBlock, panels + i * kPanelWidth,
                       panel_size<bf16>(kBlock));
    }
  }

  // What rows [begin, end), a block, add to the gradients of keys and values. A panel of keys skips the rows
  // before the first that sees it.
  void add_key_gradients(int64_t begin, int64_t end, int64_t first, int64_t keys) const {
    int64_t row = begin;
    for (int64_t j = 0; j < keys; j += kPanelWidth) {
      while (row < end && plan_.visible(row).end <= first + j) ++row;
      if (row == end) return;
      const int64_t skipped = (row - begin) / kStep<bf16> * kStep<bf16>;
      Block<bf16> block;
      block.b_panel = panel_size<bf16>(rows_);
      block.c_row = width();
      block.rows = std::min(kPanelWidth, keys - j);
      block.panels = width() / kPanelWidth;
      block.steps = steps_of<bf16>(end - begin - skipped);
      block.add = true;
      const int64_t in_block = j * kBlock + skipped * kPanelWidth;
      const int64_t in_rows = (begin + skipped) * kPanelWidth;
      block.set_panels(share_panels_ + in_block, panel_size<bf16>(kBlock));
      block.b = output_gradient_panels_ + in_rows;
      block.c = value_gradient_ + j * width();
      loops_.product(block);
      block.set_panels(score_gradient_panels_ + in_block, panel_size<bf16>(kBlock));
      block.b = query_panels_ + in_rows;
      block.c = key_gradient_ + j * width();
      loops_.product(block);
    }
  }

  const Loops<bf16>& loops_;
  const AttentionPlan& plan_;
  int64_t rows_;
  float scale_;
  tensor::Buffer<std::byte> memory_;
  bf16 *queries_ = nullptr, *query_panels_ = nullptr;
  bf16 *output_gradient_ = nullptr, *output_gradient_panels_ = nullptr;
  float* query_gradient_ = nullptr;              // [rows, width]
  float *delta_ = nullptr, *log_sum_ = nullptr;  // [rows]; delta is dout . out
  bf16 *keys_ = nullptr, *values_ = nullptr;     // of a block: panels, inner dimension the head's width
  bf16* key_panels_ = nullptr;                   // of a block, inner dimension the keys
  float *key_gradient_ = nullptr, *value_gradient_ = nullptr;  // [kBlock, width]
  float *shares_ = nullptr, *score_gradient_ = nullptr;        // [kBlock rows, kBlock keys]
  bf16 *share_panels_ = nullptr, *score_gradient_panels_ = nullptr, *score_gradient_rows_ = nullptr;
};

void AttentionBackwardBf16(const Table& table, const AttentionPlan& plan, View<const float> q,
                           View<const float> k, View<const float> v, View<const float> out,
                           View<const float> log_sum, View<const float> dout, View<float> dq, View<float> dk,
                           View<float> dv) {
  BackwardBf16 backward(table.bf16_loops, plan);
  backward.read_rows(q, out, log_sum, dout);
  for (int64_t first = 0; first < plan.sequence.keys; first += kBlock) {
    backward.meet_keys(k, v, first, dk, dv);
  }
  backward.write_rows(dq);
}

}  // namespace agora::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace agora::kernels {

HWY_EXPORT(AttentionBackwardBf16);

void attention_backward_bf16(const Table& table, const AttentionPlan& plan, View<const float> q,
                             View<const float> k, View<const float> v, View<const float> out,
                             View<const float> log_sum, View<const float> dout, View<float> dq,
                             View<float> dk, View<float> dv) {
  HWY_DYNAMIC_DISPATCH(AttentionBackwardBf16)(table, plan, q, k, v, out, log_sum, dout, dq, dk, dv);
}

}  // namespace agora::kernels
#endif
