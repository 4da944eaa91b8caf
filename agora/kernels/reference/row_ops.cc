#include "agora/kernels/reference/row_ops.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace agora::kernels::reference {

void rms_norm_forward(View<const float> x, std::span<const float> gain, float epsilon, View<float> y,
                      std::span<float> inverse) {
  for (int64_t t = 0; t < x.rows; ++t) {
    double squares = 0;
    for (int64_t d = 0; d < x.cols; ++d) squares += double{x.row(t)[d]} * x.row(t)[d];
    const double r = 1.0 / std::sqrt(squares / static_cast<double>(x.cols) + epsilon);
    for (int64_t d = 0; d < x.cols; ++d) y.row(t)[d] = static_cast<float>(x.row(t)[d] * r * gain[d]);
    if (!inverse.empty()) inverse[t] = static_cast<float>(r);
  }
}

void rms_norm_backward(View<const float> x, std::span<const float> gain, float epsilon, View<const float> dy,
                       View<float> dx, std::span<float> dgain) {
  for (int64_t t = 0; t < x.rows; ++t) {
    double squares = 0, dot = 0;
    for (int64_t d = 0; d < x.cols; ++d) {
      squares += double{x.row(t)[d]} * x.row(t)[d];
      dot += double{dy.row(t)[d]} * gain[d] * x.row(t)[d];
    }
    const double n = static_cast<double>(x.cols), r = 1.0 / std::sqrt(squares / n + epsilon);
    for (int64_t d = 0; d < x.cols; ++d) {
      dx.row(t)[d] += static_cast<float>(r * gain[d] * dy.row(t)[d] - x.row(t)[d] * dot * r * r * r / n);
      dgain[d] += static_cast<float>(dy.row(t)[d] * x.row(t)[d] * r);
    }
  }
}

void rope(View<float> x, int64_t heads, std::span<const int32_t> positions, float theta, int sign) {
  const int64_t width = x.cols / heads, pairs = width / 2;
  for (int64_t t = 0; t < x.rows; ++t) {
    for (int64_t i = 0; i < x.cols / 2; ++i) {
      float* a = x.row(t) + i / pairs * width + i % pairs;
      float* b = a + pairs;
      const double exponent = -2.0 * static_cast<double>(i % pairs) / static_cast<double>(width);
      const double angle = sign * positions[t] * std::pow(double{theta}, exponent);
      const double turned = *a * std::cos(angle) - *b * std::sin(angle);
      *b = static_cast<float>(*b * std::cos(angle) + *a * std::sin(angle));
      *a = static_cast<float>(turned);
    }
  }
}

void cross_entropy(View<const float> x, View<const float> head, std::span<const int32_t> targets, float scale,
                   std::span<float> loss, View<float> dx, View<float> dhead) {
  std::vector<double> logits(static_cast<size_t>(head.rows));
  for (int64_t t = 0; t < x.rows; ++t) {
    loss[t] = 0.0f;
    if (!dx.empty()) std::fill_n(dx.row(t), dx.cols, 0.0f);
    if (targets[t] < 0) continue;
    for (int64_t v = 0; v < head.rows; ++v) {
      logits[v] = 0;
      for (int64_t d = 0; d < x.cols; ++d) logits[v] += double{x.row(t)[d]} * head.row(v)[d];
    }
    const double greatest = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const double logit : logits) sum += std::exp(logit - greatest);
    loss[t] = static_cast<float>(greatest + std::log(sum) - logits[targets[t]]);
    if (dx.empty()) continue;
    for (int64_t v = 0; v < head.rows; ++v) {
      const double g = (std::exp(logits[v] - greatest) / sum - (v == targets[t] ? 1 : 0)) * scale;
      for (int64_t d = 0; d < x.cols; ++d) {
        dx.row(t)[d] += static_cast<float>(g * head.row(v)[d]);
        dhead.row(v)[d] += static_cast<float>(g * x.row(t)[d]);
      }
    }
  }
}

void adamw_step(const AdamWSettings& s, int64_t step, std::span<float> weights,
                std::span<const float> gradient, std::span<float> first, std::span<float> second) {
  for (size_t i = 0; i < weights.size(); ++i) {
    const double g = double{gradient[i]} * s.gradient_scale;
    const double m = double{s.beta1} * first[i] + (1.0 - s.beta1) * g;
    const double v = double{s.beta2} * second[i] + (1.0 - s.beta2) * g * g;
    const double m_unbiased = m / (1.0 - std::pow(double{s.beta1}, static_cast<double>(step)));
    const double v_unbiased = v / (1.0 - std::pow(double{s.beta2}, static_cast<double>(step)));
    const double kept = weights[i] * (1.0 - double{s.learning_rate} * s.weight_decay);
    weights[i] =
        static_cast<float>(kept - s.learning_rate * m_unbiased / (std::sqrt(v_unbiased) + s.epsilon));
    first[i] = static_cast<float>(m);
    second[i] = static_cast<float>(v);
  }
}

}  // namespace agora::kernels::reference
