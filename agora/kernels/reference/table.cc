#include "agora/kernels/reference/table.h"

#include "agora/kernels/reference/activation.h"

namespace agora::kernels::reference {
namespace {

float wide(bf16 x) { return tensor::to_float(x); }
float wide(float x) { return x; }

template <class T>
T narrow(double x) {
  if constexpr (sizeof(T) == 2) {
    return tensor::to_bf16(static_cast<float>(x));
  } else {
    return static_cast<float>(x);
  }
}

template <class T>
void product(const Block<T>& block) {
  for (int64_t r = 0; r < block.rows; ++r) {
    const T* a = block.a + r / kPanelWidth * block.a_panel + r % kPanelWidth * block.a_row;
    for (int64_t n = 0; n < block.panels * kPanelWidth; ++n) {
      const T* b = block.b + n / kPanelWidth * block.b_panel + n % kPanelWidth * kStep<T>;
      float& c = block.c[r * block.c_row + n];
      float sum = block.add ? c : 0.0f;
      for (int64_t s = 0; s < block.steps; ++s) {
        for (int64_t i = 0; i < kStep<T>; ++i) {
          sum += wide(a[s * block.a_step + i]) * wide(b[s * kStep<T> * kPanelWidth + i]);
        }
      }
      c = sum;
    }
  }
}

template <class T>
void round(const float* x, int64_t n, int64_t n_padded, T* y) {
  for (int64_t i = 0; i < n_padded; ++i) y[i] = i < n ? narrow<T>(x[i]) : T{};
}

template <class T>
void pack_rows(const float* w, int64_t row_stride, int64_t rows, int64_t columns, T* panel) {
  for (int64_t k = 0; k < steps_of<T>(columns) * kStep<T>; ++k) {
    for (int64_t r = 0; r < kPanelWidth; ++r) {
      const bool there = r < rows && k < columns;
      T* at = panel + k / kStep<T> * kStep<T> * kPanelWidth + r * kStep<T> + k % kStep<T>;
      *at = there ? narrow<T>(w[r * row_stride + k]) : T{};
    }
  }
}

template <class T>
void pack_step(const float* row0, const float* row1, float scale0, float scale1, int64_t columns, T* out,
               int64_t panel_stride) {
  for (int64_t c = 0; c < round_up(columns, kPanelWidth); ++c) {
    T* at = out + c / kPanelWidth * panel_stride + c % kPanelWidth * kStep<T>;
    at[0] = c < columns ? narrow<T>(row0[c] * scale0) : T{};
    if constexpr (kStep<T> == 2) at[1] = c < columns && row1 != nullptr ? narrow<T>(row1[c] * scale1) : T{};
  }
}

template <class T>
void activation_forward(const ActivationForward<T>& work) {
  const bool gated = work.activation == Activation::swiglu;
  for (int64_t r = 0; r < work.rows; ++r) {
    for (int64_t c = 0; c < work.panels * kPanelWidth; ++c) {
      const int64_t at = gated ? 2 * c - c % kPanelWidth : c;
      const float bias = work.bias == nullptr ? 0.0f : work.bias[c];
      const float x = work.pre[r * work.pre_row + at] + bias;
      const float up = gated ? work.pre[r * work.pre_row + at + kPanelWidth] : 1.0f;
      if (work.saved != nullptr) work.saved[r * work.saved_row + at] = narrow<T>(x);
      if (work.saved != nullptr && gated) work.saved[r * work.saved_row + at + kPanelWidth] = narrow<T>(up);
      work.hidden[r * work.hidden_row + c] = narrow<T>(activate(work.activation, x).value * up);
    }
  }
}

template <class T>
void activation_backward(const ActivationBackward<T>& work) {
  const bool gated = work.activation == Activation::swiglu;
  const int64_t rows_padded = round_up(work.rows, kStep<T>);
  for (int64_t r = 0; r < rows_padded; ++r) {
    const bool there = r < work.rows;
    double dot = 0.0;
    for (int64_t c = 0; c < work.panels * kPanelWidth; ++c) {
      const int64_t panel = c / kPanelWidth;
      const int64_t at = gated ? 2 * c - c % kPanelWidth : c;
      const int64_t in_panel =
          r / kStep<T> * kStep<T> * kPanelWidth + c % kPanelWidth * kStep<T> + r % kStep<T>;
      const double dhidden = there ? work.dhidden[r * work.dhidden_row + c] : 0.0f;
      const double weight = there ? work.weights[r] : 0.0f;
      const T* saved = work.saved + r * work.saved_row + at;
      const ValueAndSlope act = activate(work.activation, there ? wide(saved[0]) : 0.0f);
      const double up = !gated ? 1.0 : there ? wide(saved[kPanelWidth]) : 0.0f;
      const T dfirst = narrow<T>(weight * dhidden * up * act.slope);
      const T dsecond = narrow<T>(weight * dhidden * act.value);
      T* panels = work.dpre_panels + panel * (gated ? 2 : 1) * work.panel_stride + in_panel;
      panels[0] = dfirst;
      if (gated) panels[work.panel_stride] = dsecond;
      work.hidden_panels[panel * work.panel_stride + in_panel] = narrow<T>(there ? act.value * up : 0.0);
      dot += dhidden * act.value * up;
      if (!there) continue;
      work.dpre[r * work.dpre_row + at] = dfirst;
      if (gated) work.dpre[r * work.dpre_row + at + kPanelWidth] = dsecond;
    }
    if (there) work.dots[r * work.dots_row] = static_cast<float>(dot);
  }
}

void write_row(const float* x, const float* bias, float scale, int64_t n, Write write, float* y) {
  for (int64_t i = 0; i < n; ++i) {
    const float v = scale * (x[i] + (bias == nullptr ? 0.0f : bias[i]));
    y[i] = write == Write::add ? y[i] + v : v;
  }
}

template <class T>
Loops<T> loops_of() {
  return {.product = &product<T>,
          .round = &round<T>,
          .pack_rows = &pack_rows<T>,
          .pack_step = &pack_step<T>,
          .pack_weight = nullptr,
          .activation_forward = &activation_forward<T>,
          .activation_backward = &activation_backward<T>};
}

}  // namespace

Table table() {
  return {.name = "reference",
          .bf16_loops = loops_of<bf16>(),
          .f32_loops = loops_of<float>(),
          .write_row = &write_row};
}

}  // namespace agora::kernels::reference
