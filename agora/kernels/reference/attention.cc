#include <cmath>
#include <vector>

#include "agora/kernels/reference/row_ops.h"

namespace agora::kernels::reference {
namespace {

bool sees(const AttentionShape& shape, const AttentionSequence& s, int64_t query, int64_t key) {
  const int64_t own = s.keys - s.queries + query;
  if (shape.causal && key > own) return false;
  return shape.window == 0 || std::abs(key - own) < shape.window;
}

// The softmax of one query's scores over the sequence's keys; returns the log of the denominator.
double shares_of(const AttentionShape& shape, const AttentionSequence& s, const float* query,
                 View<const float> k, int64_t i, int64_t column, std::vector<double>& shares) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(shape.head_width));
  double greatest = -INFINITY, sum = 0;
  for (int64_t j = 0; j < s.keys; ++j) {
    double dot = 0;
    for (int64_t a = 0; a < shape.head_width; ++a)
      dot += double{query[a]} * k.row(s.key_begin + j)[column + a];
    shares[j] = sees(shape, s, i, j) ? dot * scale : -INFINITY;
    greatest = std::max(greatest, shares[j]);
  }
  for (int64_t j = 0; j < s.keys; ++j) sum += shares[j] = std::exp(shares[j] - greatest);
  for (int64_t j = 0; j < s.keys; ++j) shares[j] /= sum;
  return greatest + std::log(sum);
}

}  // namespace

void attention_forward(const AttentionShape& shape, std::span<const AttentionSequence> sequences,
                       View<const float> q, View<const float> k, View<const float> v, View<float> out,
                       View<float> log_sum) {
  const int64_t width = shape.head_width;
  for (const AttentionSequence& s : sequences) {
    std::vector<double> shares(static_cast<size_t>(s.keys));
    for (int64_t i = 0; i < s.queries; ++i) {
      for (int64_t h = 0; h < shape.heads; ++h) {
        const int64_t row = s.query_begin + i, column = h / (shape.heads / shape.kv_heads) * width;
        const double log = shares_of(shape, s, q.row(row) + h * width, k, i, column, shares);
        if (!log_sum.empty()) log_sum.row(row)[h] = static_cast<float>(log);
        for (int64_t a = 0; a < width; ++a) {
          double sum = 0;
          for (int64_t j = 0; j < s.keys; ++j) sum += shares[j] * v.row(s.key_begin + j)[column + a];
          out.row(row)[h * width + a] = static_cast<float>(sum);
        }
      }
    }
  }
}

void attention_backward(const AttentionShape& shape, std::span<const AttentionSequence> sequences,
                        View<const float> q, View<const float> k, View<const float> v, View<const float> dout,
                        View<float> dq, View<float> dk, View<float> dv) {
  const int64_t width = shape.head_width;
  const double scale = 1.0 / std::sqrt(static_cast<double>(width));
  for (View<float> gradient : {dq, dk, dv}) {
    for (int64_t r = 0; r < gradient.rows; ++r) std::fill_n(gradient.row(r), gradient.cols, 0.0f);
  }
  for (const AttentionSequence& s : sequences) {
    std::vector<double> shares(static_cast<size_t>(s.keys)), dshares(static_cast<size_t>(s.keys));
    for (int64_t i = 0; i < s.queries; ++i) {
      for (int64_t h = 0; h < shape.heads; ++h) {
        const int64_t row = s.query_begin + i, column = h / (shape.heads / shape.kv_heads) * width;
        const float* query = q.row(row) + h * width;
        const float* gradient = dout.row(row) + h * width;
        shares_of(shape, s, query, k, i, column, shares);
        double mean = 0;
        for (int64_t j = 0; j < s.keys; ++j) {
          dshares[j] = 0;
          for (int64_t a = 0; a < width; ++a)
            dshares[j] += double{gradient[a]} * v.row(s.key_begin + j)[column + a];
          mean += shares[j] * dshares[j];
        }
        for (int64_t j = 0; j < s.keys; ++j) {
          const double dscore = shares[j] * (dshares[j] - mean) * scale;
          const int64_t key = s.key_begin + j;
          for (int64_t a = 0; a < width; ++a) {
            dv.row(key)[column + a] += static_cast<float>(shares[j] * gradient[a]);
            dk.row(key)[column + a] += static_cast<float>(dscore * query[a]);
            dq.row(row)[h * width + a] += static_cast<float>(dscore * k.row(key)[column + a]);
          }
        }
      }
    }
  }
}

}  // namespace agora::kernels::reference
