#include "agora/moe/combine.h"

#include <algorithm>
#include <vector>

#include "agora/base/check.h"

namespace agora::moe {
namespace {

constexpr int64_t kTokensPerPiece =
    64;  // enough work to be worth a piece at D = 64, small enough to share at T = 256

void add_row(const float* __restrict x, int64_t d, float* __restrict y) {
  for (int64_t i = 0; i < d; ++i) y[i] += x[i];
}

// Adds the token's entries in order; `partial` [D] holds the sum of a part when there is more than one.
void combine_token(const Route& route, const Dispatch& dispatch, const SumOrder& order,
                   View<const float> entries, int64_t t, float* partial, float* y) {
  const int64_t d = entries.cols;
  std::fill_n(y, d, 0.0f);
  int32_t i = route.first[t];
  const int32_t end = route.first[t + 1];
  if (order.parts == 1) {
    for (; i < end; ++i) add_row(entries.row(dispatch.entry_of_choice[i]), d, y);
    return;
  }
  while (i < end) {
    const int64_t part = route.expert[i] * order.parts / order.experts;
    std::fill_n(partial, d, 0.0f);
    for (; i < end && route.expert[i] * order.parts / order.experts == part; ++i) {
      add_row(entries.row(dispatch.entry_of_choice[i]), d, partial);
    }
    add_row(partial, d, y);
  }
}

}  // namespace

void combine(const Compute& compute, const Route& route, const Dispatch& dispatch, const SumOrder& order,
             View<const float> entries, View<float> y) {
  AGORA_CHECK_EQ(y.rows, route.tokens());
  AGORA_CHECK_EQ(entries.rows, route.choices());
  AGORA_CHECK(entries.rows == 0 || entries.cols == y.cols);
  AGORA_CHECK(order.parts >= 1 && order.parts <= std::max<int64_t>(order.experts, 1));
  compute.pool->run_ranges(route.tokens(), kTokensPerPiece, [&](int64_t begin, int64_t end) {
    std::vector<float> partial(order.parts == 1 ? 0 : static_cast<size_t>(y.cols));
    for (int64_t t = begin; t < end; ++t) {
      combine_token(route, dispatch, order, entries.empty() ? View<const float>(nullptr, 0, y.cols) : entries,
                    t, partial.data(), y.row(t));
    }
  });
}

}  // namespace agora::moe
