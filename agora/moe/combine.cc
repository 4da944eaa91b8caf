#include "agora/moe/combine.h"

#include <algorithm>
#include <vector>

#include "agora/base/check.h"
#include "agora/kernels/row_ops.h"

namespace agora::moe {
namespace {

constexpr int64_t kTokensPerPiece =
    64;  // enough work to be worth a piece at D = 64, small enough to share at T = 256

// Room for the rows of one token's sum, and the sum of a part when there is more than one.
struct Scratch {
  std::vector<const float*> rows;
  std::vector<float> partial;  // [D]
};

// Adds the token's entries in order, those of a part first.
void combine_token(const Route& route, const Dispatch& dispatch, const SumOrder& order,
                   View<const float> entries, int64_t t, Scratch& scratch, std::span<float> y) {
  const auto d = static_cast<int64_t>(y.size());
  const auto part_of = [&](int32_t i) { return route.expert[i] * order.parts / order.experts; };
  int32_t i = route.first[t];
  const int32_t end = route.first[t + 1];
  const auto sum_part = [&](float* to) {
    const int64_t part = i < end ? part_of(i) : 0;
    scratch.rows.clear();
    for (; i < end && part_of(i) == part; ++i) {
      scratch.rows.push_back(entries.row(dispatch.entry_of_choice[i]));
    }
    kernels::sum_rows(scratch.rows, d, to);
  };
  sum_part(y.data());
  while (i < end) {
    scratch.partial.resize(y.size());
    sum_part(scratch.partial.data());
    const float* const both[] = {y.data(), scratch.partial.data()};
    kernels::sum_rows(both, d, y.data());
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
    Scratch scratch;
    for (int64_t t = begin; t < end; ++t) {
      combine_token(route, dispatch, order, entries, t, scratch, y.row_span(t));
    }
  });
}

}  // namespace agora::moe
