#include "agora/moe/no_call.h"

#include "agora/base/check.h"

namespace agora::moe {
namespace {

constexpr int64_t kTokensPerPiece = 128;

// The row that a choice adds, times its weight; nullptr for a zero expert and for those behind the seam.
const float* added_row(const GateDescriptor& gate, int64_t candidate, const float* x,
                       View<const float> constants) {
  const int64_t copy_first = gate.experts + gate.zero_experts;
  const int64_t constant_first = copy_first + gate.copy_experts;
  if (candidate < copy_first) return nullptr;
  return candidate < constant_first ? x : constants.row(candidate - constant_first);
}

float dot(const float* a, const float* b, int64_t d) {
  float sum = 0.0f;
  for (int64_t i = 0; i < d; ++i) sum += a[i] * b[i];
  return sum;
}

void add_scaled(float factor, const float* __restrict from, int64_t d, float* __restrict to) {
  for (int64_t i = 0; i < d; ++i) to[i] += factor * from[i];
}

}  // namespace

void add_no_call(const Compute& compute, const GateDescriptor& gate, const Route& route, View<const float> x,
                 View<const float> constants, View<float> y) {
  if (gate.candidates() == gate.experts) return;
  AGORA_CHECK_EQ(constants.rows, gate.constant_experts);
  compute.pool->run_ranges(route.tokens(), kTokensPerPiece, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      for (int32_t i = route.first[t]; i < route.first[t + 1]; ++i) {
        const float* row = added_row(gate, route.expert[i], x.row(t), constants);
        if (row != nullptr) add_scaled(route.weight[i], row, y.cols, y.row(t));
      }
    }
  });
}

void add_no_call_backward(const Compute& compute, const GateDescriptor& gate, const Route& route,
                          View<const float> x, View<const float> constants, View<const float> dy,
                          std::span<float> dweights, View<float> dx, View<float> dconstants) {
  if (gate.candidates() == gate.experts) return;
  compute.pool->run_ranges(route.tokens(), kTokensPerPiece, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      for (int32_t i = route.first[t]; i < route.first[t + 1]; ++i) {
        if (route.expert[i] < gate.experts) continue;
        const float* row = added_row(gate, route.expert[i], x.row(t), constants);
        dweights[i] = row == nullptr ? 0.0f : dot(dy.row(t), row, dy.cols);
        if (row == x.row(t)) add_scaled(route.weight[i], dy.row(t), dy.cols, dx.row(t));
      }
    }
  });
  if (dconstants.empty()) return;
  // One thread, so that the sums over tokens ascend.
  const int64_t constant_first = gate.candidates() - gate.constant_experts;
  for (int64_t t = 0; t < route.tokens(); ++t) {
    for (int32_t i = route.first[t]; i < route.first[t + 1]; ++i) {
      if (route.expert[i] < constant_first) continue;
      add_scaled(route.weight[i], dy.row(t), dy.cols, dconstants.row(route.expert[i] - constant_first));
    }
  }
}

}  // namespace agora::moe
