#include "agora/kernels/reference/matmul.h"

namespace agora::kernels::reference {

void matmul(View<const float> x, View<const float> weight, View<float> y) {
  for (int64_t t = 0; t < x.rows; ++t) {
    for (int64_t n = 0; n < weight.rows; ++n) {
      double sum = 0.0;
      for (int64_t k = 0; k < x.cols; ++k) sum += double{x.row(t)[k]} * double{weight.row(n)[k]};
      y.row(t)[n] = static_cast<float>(sum);
    }
  }
}

void matmul_gradient(View<const float> x, View<const float> dy, View<float> dweight) {
  for (int64_t n = 0; n < dy.cols; ++n) {
    for (int64_t k = 0; k < x.cols; ++k) {
      double sum = dweight.row(n)[k];
      for (int64_t t = 0; t < x.rows; ++t) sum += double{dy.row(t)[n]} * double{x.row(t)[k]};
      dweight.row(n)[k] = static_cast<float>(sum);
    }
  }
}

}  // namespace agora::kernels::reference
