#include <algorithm>

#include "agora/kernels/matmul.h"
#include "agora/kernels/pack_weight.h"
#include "agora/kernels/table.h"

namespace agora::kernels {
namespace {

template <class T>
void fill(const Compute& compute, View<const float> weight, PackedMatrix& packed, PackedMatrix* transposed) {
  compute.pool->run(packed.panels(), [&](int64_t p) {
    const int64_t begin = p * kPanelWidth;
    const int64_t rows = std::min(kPanelWidth, weight.rows - begin);
    T* turned = transposed == nullptr ? nullptr : transposed->mutable_panel<T>(0) + begin * kPanelWidth;
    pack_weight(compute.table->loops<T>(), {.w = weight.row(begin),
                                            .row_stride = weight.row_stride,
                                            .rows = rows,
                                            .columns = weight.cols,
                                            .panel = packed.mutable_panel<T>(p),
                                            .turned = turned,
                                            .turned_panel = panel_size<T>(weight.rows),
                                            .turned_steps = steps_of<T>(rows)});
  });
}

template <class T>
void fill_transposed(const Compute& compute, View<const float> weight, PackedMatrix& packed) {
  const Loops<T>& loops = compute.table->loops<T>();
  const int64_t panel = panel_size<T>(weight.rows);
  constexpr int64_t kSteps = 16;  // of one piece
  compute.pool->run_ranges(steps_of<T>(weight.rows), kSteps, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      const int64_t row = s * kStep<T>;
      const float* second = kStep<T> == 2 && row + 1 < weight.rows ? weight.row(row + 1) : nullptr;
      loops.pack_step(weight.row(row), second, 1.0f, 1.0f, weight.cols,
                      packed.mutable_panel<T>(0) + row * kPanelWidth, panel);
    }
  });
}

}  // namespace

void PackedMatrix::shape(int64_t inner, int64_t outputs, Precision precision) {
  AGORA_CHECK(inner >= 0 && inner <= INT32_MAX && outputs >= 0 && outputs <= INT32_MAX);
  const int64_t panels = (outputs + kPanelWidth - 1) / kPanelWidth;
  const int64_t panel_bytes = precision == Precision::bf16
                                  ? panel_size<bf16>(inner) * int64_t{sizeof(bf16)}
                                  : panel_size<float>(inner) * int64_t{sizeof(float)};
  if (panels_.size() != panels * panel_bytes) {
    panels_ = {};  // the old memory goes before the new is asked for
    panels_ = Buffer<std::byte>::uninitialised(1, panels * panel_bytes, Purpose::weight);
  }
  inner_ = static_cast<int32_t>(inner);
  outputs_ = static_cast<int32_t>(outputs);
  precision_ = precision;
}

const bf16* PackedMatrix::panel_bf16(int64_t p) const {
  AGORA_CHECK(precision_ == Precision::bf16 && p >= 0 && p <= panels());
  return reinterpret_cast<const bf16*>(panels_.data()) + p * panel_size<bf16>(inner_);
}

const float* PackedMatrix::panel_f32(int64_t p) const {
  AGORA_CHECK(precision_ == Precision::f32 && p >= 0 && p <= panels());
  return reinterpret_cast<const float*>(panels_.data()) + p * panel_size<float>(inner_);
}

template <>
const bf16* PackedMatrix::panel<bf16>(int64_t p) const {
  return panel_bf16(p);
}
template <>
const float* PackedMatrix::panel<float>(int64_t p) const {
  return panel_f32(p);
}
template <>
bf16* PackedMatrix::mutable_panel<bf16>(int64_t p) {
  return const_cast<bf16*>(panel_bf16(p));
}
template <>
float* PackedMatrix::mutable_panel<float>(int64_t p) {
  return const_cast<float*>(panel_f32(p));
}

void repack(const Compute& compute, View<const float> weight, PackedMatrix& packed,
            PackedMatrix* transposed) {
  packed.shape(weight.cols, weight.rows, compute.precision);
  if (transposed != nullptr) transposed->shape(weight.rows, weight.cols, compute.precision);
  if (compute.precision == Precision::bf16) {
    fill<bf16>(compute, weight, packed, transposed);
  } else {
    fill<float>(compute, weight, packed, transposed);
  }
}

PackedMatrix pack(const Compute& compute, View<const float> weight) {
  PackedMatrix packed;
  repack(compute, weight, packed);
  return packed;
}

PackedMatrix pack_transposed(const Compute& compute, View<const float> weight) {
  PackedMatrix packed;
  packed.shape(weight.rows, weight.cols, compute.precision);
  if (compute.precision == Precision::bf16) {
    fill_transposed<bf16>(compute, weight, packed);
  } else {
    fill_transposed<float>(compute, weight, packed);
  }
  return packed;
}

}  // namespace agora::kernels
