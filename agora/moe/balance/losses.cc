#include "agora/moe/balance/losses.h"

#include <algorithm>
#include <cmath>

#include "absl/functional/function_ref.h"
#include "agora/base/check.h"
#include "agora/moe/balance/probabilities.h"

namespace agora::moe {
namespace {

constexpr int64_t kTokensPerBlock = 64;  // sums go block by block, so they do not depend on the threads

// The sum over tokens of what `term` gives for each; its last argument is scratch of C numbers.
double sum_over_tokens(const Compute& compute, int64_t tokens, int64_t candidates,
                       absl::FunctionRef<double(int64_t t, std::span<float> row)> term) {
  std::vector<double> blocks(static_cast<size_t>((tokens + kTokensPerBlock - 1) / kTokensPerBlock), 0.0);
  compute.pool->run_ranges(tokens, kTokensPerBlock, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(candidates));
    for (int64_t t = begin; t < end; ++t) blocks[begin / kTokensPerBlock] += term(t, row);
  });
  double sum = 0;
  for (const double block : blocks) sum += block;
  return sum;
}

}  // namespace

std::vector<float> load_shares(std::span<const int64_t> loads) {
  double sum = 0;
  for (const int64_t load : loads) sum += static_cast<double>(load);
  std::vector<float> shares(loads.size(), 0.0f);
  if (sum == 0) return shares;
  for (size_t e = 0; e < loads.size(); ++e) {
    shares[e] = static_cast<float>(static_cast<double>(loads[e]) / sum);
  }
  return shares;
}

float switch_loss(const Compute& compute, Score score, View<const float> logits,
                  std::span<const float> shares, float coefficient, View<float> dlogits) {
  AGORA_CHECK_EQ(static_cast<int64_t>(shares.size()), logits.cols);
  if (logits.rows == 0) return 0.0f;
  // coefficient * C * sum_c f_c mean_t p_tc  =  sum_t sum_c g_c p_tc
  std::vector<float> g(shares.begin(), shares.end());
  const double factor =
      static_cast<double>(coefficient) * static_cast<double>(logits.cols) / static_cast<double>(logits.rows);
  for (float& value : g) value = static_cast<float>(value * factor);

  const double loss = sum_over_tokens(compute, logits.rows, logits.cols, [&](int64_t t, std::span<float> p) {
    const float norm = probabilities(score, logits.row_span(t), p);
    float dot = 0.0f;
    for (int64_t c = 0; c < logits.cols; ++c) dot += g[c] * p[c];
    if (!dlogits.empty()) {
      for (int64_t c = 0; c < logits.cols; ++c) {
        // softmax: dp_c/dl_c; sigmoid: s_c = p_c * norm, and dp/ds carries 1 / norm.
        const float slope = score == Score::softmax ? p[c] : p[c] * (1.0f - p[c] * norm);
        dlogits.row(t)[c] += slope * (g[c] - dot);
      }
    }
    return dot;
  });
  return static_cast<float>(loss);
}

float sequence_switch_loss(const Compute& compute, Score score, View<const float> logits, const Route& route,
                           std::span<const int32_t> candidates, std::span<const int32_t> sequence_first,
                           float coefficient, View<float> dlogits) {
  int64_t sequences = 0;
  for (size_t s = 0; s + 1 < sequence_first.size(); ++s) {
    sequences += sequence_first[s + 1] > sequence_first[s] ? 1 : 0;
  }
  float loss = 0.0f;
  for (size_t s = 0; s + 1 < sequence_first.size(); ++s) {
    const int64_t begin = sequence_first[s];
    const int64_t tokens = sequence_first[s + 1] - begin;
    if (tokens == 0) continue;
    std::vector<int64_t> of_number(static_cast<size_t>(candidates.back()) + 1, 0);
    for (int32_t i = route.first[begin]; i < route.first[begin + tokens]; ++i) ++of_number[route.expert[i]];
    std::vector<int64_t> loads;
    for (const int32_t c : candidates) loads.push_back(of_number[c]);
    loss += switch_loss(compute, score, logits.rows_from(begin, tokens), load_shares(loads),
                        coefficient / static_cast<float>(sequences),
                        dlogits.empty() ? dlogits : dlogits.rows_from(begin, tokens));
  }
  return loss;
}

float router_z_loss(const Compute& compute, View<const float> logits, float coefficient,
                    View<float> dlogits) {
  if (logits.rows == 0) return 0.0f;
  const float factor = coefficient / static_cast<float>(logits.rows);
  const double sum = sum_over_tokens(compute, logits.rows, logits.cols, [&](int64_t t, std::span<float> p) {
    const std::span<const float> row = logits.row_span(t);
    const float largest = *std::max_element(row.begin(), row.end());
    float exponentials = 0.0f;
    for (size_t c = 0; c < row.size(); ++c) {
      p[c] = std::exp(row[c] - largest);
      exponentials += p[c];
    }
    const float log_sum = largest + std::log(exponentials);
    if (!dlogits.empty()) {
      const float slope = factor * 2.0f * log_sum / exponentials;
      for (size_t c = 0; c < row.size(); ++c) dlogits.row(t)[c] += slope * p[c];
    }
    return static_cast<double>(log_sum) * log_sum;
  });
  return static_cast<float>(sum * factor);
}

}  // namespace agora::moe
