#include <cmath>
#include <limits>

#include "agora/kernels/highway_targets.h"
#include "agora/kernels/product.h"
#include "agora/kernels/row_ops.h"
#include "agora/kernels/workspace.h"

// The order of these is their meaning.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "agora/kernels/cross_entropy.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "agora/kernels/vector_math-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace agora::kernels::HWY_NAMESPACE {

// log(sum of e^logit) - logits[target]. With want_gradient the logits become (softmax - onehot) * scale.
float SoftmaxLossRow(float* logits, size_t n, size_t target, bool want_gradient, float scale) {
  const hn::ScalableTag<float> d;
  const auto least = hn::Set(d, -std::numeric_limits<float>::infinity());
  const auto valid = [&](auto x, size_t count)
                         HWY_ATTR { return hn::IfThenElse(hn::FirstN(d, count), x, least); };
  const size_t lanes = hn::Lanes(d);
  auto greatest = least;
  for (size_t i = 0; i + lanes <= n; i += lanes) greatest = hn::Max(greatest, hn::LoadU(d, logits + i));
  const size_t rest = n % lanes;
  if (rest > 0) greatest = hn::Max(greatest, valid(LoadPartial(d, logits + n - rest, rest), rest));
  const float top = hn::GetLane(hn::MaxOfLanes(d, greatest)), own = logits[target];
  const auto tops = hn::Set(d, top);
  auto sum = hn::Zero(d);
  for (size_t i = 0; i + lanes <= n; i += lanes) {
    const auto p = Exp(d, hn::Sub(hn::LoadU(d, logits + i), tops));
    sum = hn::Add(sum, p);
    if (want_gradient) hn::StoreU(p, d, logits + i);
  }
  if (rest > 0) {
    const auto p = Exp(d, hn::Sub(valid(LoadPartial(d, logits + n - rest, rest), rest), tops));
    sum = hn::Add(sum, p);
    if (want_gradient) StorePartial(d, p, logits + n - rest, rest);
  }
  const float total = SumAcross(d, sum);
  if (want_gradient) {
    const auto factor = hn::Set(d, scale / total);
    ForEachVector(d, n, [&](size_t i, auto part) HWY_ATTR {
      Put(d, hn::Mul(Get(d, logits + i, part), factor), logits + i, part);
    });
    logits[target] -= scale;
  }
  return std::log(total) + (top - own);
}

}  // namespace agora::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace agora::kernels {
namespace {

HWY_EXPORT(SoftmaxLossRow);

// Bytes of logits of one piece. At a vocabulary of 4,096 these are 128 rows: each weight of the head that
// comes from beyond the second cache serves 256 operations, which is what AMX needs; the passes over a row of
// logits find it in the first cache.
constexpr int64_t kPieceBytes = int64_t{2} << 20;
constexpr int64_t kPieceRowsMin = 32;  // with a large vocabulary: a thread then holds 32 rows of logits
constexpr int64_t kPieceRowsMax = 128;
// Bytes of the logits' gradient that wait for the head's gradient: at a vocabulary of 4,096, 1,024 rows in
// bf16.
constexpr int64_t kStripeBytes = int64_t{8} << 20;

template <class T>
class FusedLoss {
 public:
  FusedLoss(const Compute& compute, View<const float> x, const PackedMatrix& head,
            const PackedMatrix& head_transposed, std::span<const int32_t> targets, float scale,
            std::span<float> loss, View<float> dx, View<float> dhead)
      : compute_(compute),
        loops_(compute.table->loops<T>()),
        x_(x),
        head_(head),
        head_transposed_(head_transposed),
        targets_(targets),
        scale_(scale),
        loss_(loss),
        dx_(dx),
        dhead_(dhead) {}

  // Rows in stripes: first each row's loss and gradients of logits and of x, then the stripe's share of the
  // head's gradient.
  void run() {
    const int64_t panels = blocks_of(head_.outputs(), kPanelWidth),
                  width_panels = blocks_of(x_.cols, kPanelWidth);
    const int64_t logits = panels * kPanelWidth;
    const int64_t piece_fits =
        kPieceBytes / (logits * int64_t{sizeof(float)}) / kPieceRowsMin * kPieceRowsMin;
    const int64_t piece = std::clamp(piece_fits, kPieceRowsMin, kPieceRowsMax);
    const int64_t stripe_fits = kStripeBytes / (logits * int64_t{sizeof(T)}) / piece * piece;
    const int64_t stripe = dx_.empty() ? x_.rows : std::clamp<int64_t>(stripe_fits, piece, 1024);
    CallWorkspace workspace(compute_);
    const int64_t packed = dx_.empty() ? 0 : panel_size<T>(std::min(stripe, x_.rows));
    const Workspace::Lease lease = workspace.lease((panels + width_panels) * packed * int64_t{sizeof(T)});
    logit_panels_ = reinterpret_cast<T*>(lease.data());
    for (int64_t begin = 0; begin < x_.rows; begin += stripe) {
      stripe_begin_ = begin;
      stripe_rows_ = std::min(stripe, x_.rows - begin);
      if (!dx_.empty()) x_panels_ = logit_panels_ + panels * panel_size<T>(stripe_rows_);
      compute_.pool->run_ranges(stripe_rows_, piece, [&](int64_t first, int64_t end) { rows(first, end); });
      if (!dx_.empty()) head_gradient();
    }
  }

 private:
  // Rows [first, end) of the stripe.
  void rows(int64_t first, int64_t end) {
    const int64_t count = end - first, vocabulary = head_.outputs();
    const int64_t row_stride = round_up(vocabulary, kPanelWidth), x_stride = steps_of<T>(x_.cols) * kStep<T>;
    auto logits = Buffer<float>::uninitialised(count, row_stride, Purpose::scratch);
    auto rounded = Buffer<T>::uninitialised(count, std::max(row_stride, x_stride), Purpose::scratch);
    const View<const float> x = x_.rows_from(stripe_begin_ + first, count);
    for (int64_t r = 0; r < count; ++r)
      loops_.round(x.row(r), x.cols, x_stride, rounded.data() + r * x_stride);
    product_tiles(loops_, rows_of<T>(rounded.data(), x_stride, count), panels_of<T>(head_), 0, head_.panels(),
                  RowsOf<float>{logits.data(), row_stride, count},
                  [&](int64_t panel, int64_t panels, const float* tile) {
                    for (int64_t r = 0; r < count; ++r) {
                      std::copy_n(tile + r * kTileWidth, panels * kPanelWidth,
                                  logits.row(r) + panel * kPanelWidth);
                    }
                  });
    for (int64_t r = 0; r < count; ++r) row_loss(stripe_begin_ + first + r, logits.row(r));
    if (dx_.empty()) return;
    pack(first, count, {logits.data(), count, vocabulary, row_stride}, logit_panels_);
    pack(first, count, x, x_panels_);
    for (int64_t r = 0; r < count; ++r) {
      loops_.round(logits.row(r), vocabulary, row_stride, rounded.data() + r * row_stride);
    }
    const View<float> dx = dx_.rows_from(stripe_begin_ + first, count);
    product_tiles(loops_, rows_of<T>(rounded.data(), row_stride, count), panels_of<T>(head_transposed_), 0,
                  head_transposed_.panels(), RowsOf<float>{dx.data, dx.row_stride, count},
                  [&](int64_t panel, int64_t panels, const float* tile) {
                    const int64_t column = panel * kPanelWidth;
                    const int64_t columns = std::min(panels * kPanelWidth, dx.cols - column);
                    for (int64_t r = 0; r < count; ++r) {
                      std::copy_n(tile + r * kTileWidth, columns, dx.row(r) + column);
                    }
                  });
  }

  // The loss of row t; its logits turn into their gradient.
  void row_loss(int64_t t, float* logits) {
    const auto vocabulary = static_cast<size_t>(head_.outputs());
    const int32_t target = targets_[static_cast<size_t>(t)];
    float& loss = loss_[static_cast<size_t>(t)];
    if (target < 0) {
      loss = 0.0f;
      std::fill_n(logits, vocabulary, 0.0f);
      return;
    }
    AGORA_CHECK_LT(target, head_.outputs());
    loss = HWY_DYNAMIC_DISPATCH(SoftmaxLossRow)(logits, vocabulary, static_cast<size_t>(target), !dx_.empty(),
                                                scale_);
  }

  // Rows first .. of the stripe into panels whose inner dimension is the stripe's rows. Pieces begin at even
  // rows: no two share a step.
  void pack(int64_t first, int64_t count, View<const float> from, T* panels) {
    for (int64_t r = 0; r < count; r += kStep<T>) {
      const float* second = kStep<T> == 2 && r + 1 < count ? from.row(r + 1) : nullptr;
      loops_.pack_step(from.row(r), second, 1.0f, 1.0f, from.cols, panels + (first + r) * kPanelWidth,
                       panel_size<T>(stripe_rows_));
    }
  }

  // dhead += (gradient of the stripe's logits)^T . x
  void head_gradient() {
    constexpr int64_t kOutputs = 64,
                      kColumnPanels = 16;  // of a piece: its part of x stays in the second cache
    const int64_t column_pieces = blocks_of(blocks_of(x_.cols, kPanelWidth), kColumnPanels);
    const int64_t output_pieces = blocks_of(head_.outputs(), kOutputs);
    const int64_t panel = panel_size<T>(stripe_rows_), steps = steps_of<T>(stripe_rows_);
    compute_.pool->run(column_pieces * output_pieces, [&](int64_t piece) {
      const int64_t first_panel = piece % column_pieces * kColumnPanels, column = first_panel * kPanelWidth;
      const int64_t output = piece / column_pieces * kOutputs;
      accumulate_gradient(loops_,
                          GradientTask<T>{.a = {logit_panels_ + output / kPanelWidth * panel, panel, steps},
                                          .b = {x_panels_ + first_panel * panel, panel, steps},
                                          .outputs = std::min(kOutputs, head_.outputs() - output),
                                          .columns = std::min(kColumnPanels * kPanelWidth, x_.cols - column),
                                          .c = dhead_.row(output) + column,
                                          .c_row = dhead_.row_stride});
    });
  }

  const Compute& compute_;
  const Loops<T>& loops_;
  View<const float> x_;
  const PackedMatrix& head_;
  const PackedMatrix& head_transposed_;
  std::span<const int32_t> targets_;
  float scale_;
  std::span<float> loss_;
  View<float> dx_, dhead_;
  int64_t stripe_begin_ = 0, stripe_rows_ = 0;
  T* logit_panels_ = nullptr;  // [V panels][stripe rows]: gradient of the logits
  T* x_panels_ = nullptr;      // [D panels][stripe rows]
};

}  // namespace

void cross_entropy(const Compute& compute, View<const float> x, const PackedMatrix& head,
                   const PackedMatrix& head_transposed, std::span<const int32_t> targets, float scale,
                   std::span<float> loss, View<float> dx, View<float> dhead) {
  AGORA_CHECK_EQ(x.cols, head.inner());
  AGORA_CHECK(x.rows == static_cast<int64_t>(targets.size()) && targets.size() == loss.size());
  AGORA_CHECK(head.precision() == compute.precision);
  if (x.rows == 0) return;
  if (!dx.empty()) {
    AGORA_CHECK(dx.rows == x.rows && dx.cols == x.cols && dhead.rows == head.outputs() &&
                dhead.cols == x.cols);
    AGORA_CHECK(head_transposed.inner() == head.outputs() && head_transposed.outputs() == x.cols);
  }
  if (compute.precision == Precision::bf16) {
    FusedLoss<bf16>(compute, x, head, head_transposed, targets, scale, loss, dx, dhead).run();
  } else {
    FusedLoss<float>(compute, x, head, head_transposed, targets, scale, loss, dx, dhead).run();
  }
}

}  // namespace agora::kernels
#endif
