#include "agora/base/check.h"
#include "agora/moe/gate/exact.h"
#include "agora/moe/gate/gate.h"
#include "agora/moe/gate/noise.h"
#include "agora/moe/gate/score.h"

namespace agora::moe {
namespace {

constexpr int64_t kTokensPerPiece = 64;

// Columns of the choices, from their numbers.
std::vector<int32_t> columns_of(const Route& route, std::span<const int32_t> candidates) {
  if (candidates.empty()) return {};
  std::vector<int32_t> column(static_cast<size_t>(candidates.back()) + 1, -1);
  for (size_t c = 0; c < candidates.size(); ++c) column[candidates[c]] = static_cast<int32_t>(c);
  std::vector<int32_t> columns;
  columns.reserve(route.expert.size());
  for (const int32_t expert : route.expert) columns.push_back(column[expert]);
  return columns;
}

}  // namespace

void Gate::backward(const Compute& compute, View<const float> x, const Route& route, const GateSaved& saved,
                    std::span<const float> dweights, View<float> dlogits, View<float> dx) {
  const View<const float> logits = saved.logits.view();
  const View<const float> scores = saved.scores.view();
  AGORA_CHECK_EQ(x.rows, logits.rows);
  AGORA_CHECK_EQ(dlogits.rows, logits.rows);
  AGORA_CHECK_EQ(static_cast<int64_t>(dweights.size()), route.choices());
  const std::vector<int32_t> columns = columns_of(route, saved.candidate);
  compute.pool->run_ranges(logits.rows, kTokensPerPiece, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const auto first = static_cast<size_t>(route.first[t]);
      const size_t chosen = route.first[t + 1] - first;
      weigh_backward(
          descriptor_, logits.row_span(t), scores.rows > 0 ? scores.row_span(t) : std::span<const float>(),
          std::span(columns).subspan(first, chosen), dweights.subspan(first, chosen), dlogits.row_span(t));
    }
  });
  router_->backward(exact(compute), x, dlogits, dx);

  const View<const float> scale = saved.noise_scale.view();
  if (scale.rows == 0) return;
  BatchRows<float> dscale(Purpose::scratch);
  dscale.shape(scale.rows, scale.cols);
  for (int64_t t = 0; t < scale.rows; ++t) {
    noise_backward(descriptor_.noise, scale.row_span(t), saved.noise_drawn.view().row_span(t),
                   dlogits.row_span(t), dscale.view().row_span(t));
  }
  noise_->backward(exact(compute), x, dscale.view(), dx);
}

}  // namespace agora::moe
