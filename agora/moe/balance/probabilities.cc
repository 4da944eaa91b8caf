#include "agora/moe/balance/probabilities.h"

#include <cmath>
#include <vector>

#include "agora/moe/gate/score.h"

namespace agora::moe {

float probabilities(Score kind, std::span<const float> logits, std::span<float> p) {
  score(kind, logits, p);
  if (kind == Score::softmax) return 1.0f;
  float sum = 0.0f;
  for (const float s : p) sum += s;
  if (sum > 0.0f) {
    for (float& s : p) s /= sum;
  }
  return sum;
}

double routing_entropy(const kernels::Compute& compute, Score kind, tensor::View<const float> logits) {
  if (logits.rows == 0) return 0.0;
  std::vector<double> of_token(static_cast<size_t>(logits.rows));
  compute.pool->run_ranges(logits.rows, 64, [&](int64_t begin, int64_t end) {
    std::vector<float> p(static_cast<size_t>(logits.cols));
    for (int64_t t = begin; t < end; ++t) {
      probabilities(kind, logits.row_span(t), p);
      double entropy = 0;
      for (const float value : p) {
        if (value > 0.0f) entropy -= static_cast<double>(value * std::log(value));
      }
      of_token[t] = entropy;
    }
  });
  double sum = 0;
  for (const double entropy : of_token) sum += entropy;
  return sum / static_cast<double>(logits.rows);
}

}  // namespace agora::moe
