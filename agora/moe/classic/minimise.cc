#include "agora/moe/classic/minimise.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "agora/moe/classic/linear_algebra.h"

namespace agora::moe::classic {

namespace {

// Armijo's condition: a step must gain this share of what the slope promises.
constexpr double kSufficientFall = 1e-4;
constexpr int kHalvingsMax = 40;

// A step, the change of the gradient along it, and the inverse of their product.
struct Pair {
  std::vector<double> step;
  std::vector<double> change;
  double inverse_product;
};

// The two-loop recursion: minus the approximate inverse Hessian times the gradient.
std::vector<double> descent_direction(const std::deque<Pair>& pairs, std::span<const double> gradient) {
  std::vector<double> direction(gradient.begin(), gradient.end());
  std::vector<double> alpha(pairs.size());
  for (size_t i = pairs.size(); i-- > 0;) {
    alpha[i] = pairs[i].inverse_product * dot(pairs[i].step, direction);
    add_scaled(-alpha[i], pairs[i].change, direction);
  }
  if (!pairs.empty()) {
    const Pair& last = pairs.back();
    const double scale = 1.0 / (last.inverse_product * dot(last.change, last.change));
    for (double& v : direction) v *= scale;
  }
  for (size_t i = 0; i < pairs.size(); ++i) {
    const double beta = pairs[i].inverse_product * dot(pairs[i].change, direction);
    add_scaled(alpha[i] - beta, pairs[i].step, direction);
  }
  for (double& v : direction) v = -v;
  return direction;
}

struct Point {
  std::vector<double> w;
  std::vector<double> gradient;
  double value = 0.0;
};

// The first of the steps 1, 1/2, 1/4, ... that falls enough; false when none does.
bool line_search(const Objective& objective, const Point& from, std::span<const double> direction,
                 double length, Point& to) {
  const double slope = dot(from.gradient, direction);
  if (!(slope < 0.0)) return false;
  for (int halving = 0; halving < kHalvingsMax; ++halving, length *= 0.5) {
    to.w = from.w;
    add_scaled(length, direction, to.w);
    to.value = objective(to.w, to.gradient);
    if (std::isfinite(to.value) && to.value <= from.value + kSufficientFall * length * slope) return true;
  }
  return false;
}

// Keeps the pair if it tells of positive curvature, as the approximation must stay positive definite.
void remember(const Point& from, const Point& to, int history, std::deque<Pair>& pairs) {
  Pair pair{to.w, to.gradient, 0.0};
  add_scaled(-1.0, from.w, pair.step);
  add_scaled(-1.0, from.gradient, pair.change);
  const double product = dot(pair.step, pair.change);
  if (!(product > 1e-12 * dot(pair.change, pair.change))) return;
  pair.inverse_product = 1.0 / product;
  pairs.push_back(std::move(pair));
  if (static_cast<int>(pairs.size()) > history) pairs.pop_front();
}

}  // namespace

MinimiseReport minimise(const Objective& objective, const MinimiseSettings& settings, std::vector<double>& w,
                        const Watch& watch) {
  Point at{w, std::vector<double>(w.size()), 0.0};
  at.value = objective(at.w, at.gradient);
  MinimiseReport report{{at.value}, 0};
  Point next = at;
  std::deque<Pair> pairs;
  while (report.iterations < settings.iterations_max) {
    // Without curvature the first step is as long as 1: the scale of weights that start small.
    const double norm = std::sqrt(dot(at.gradient, at.gradient));
    const double length = pairs.empty() ? 1.0 / std::max(norm, 1.0) : 1.0;
    if (!line_search(objective, at, descent_direction(pairs, at.gradient), length, next)) {
      if (pairs.empty()) break;
      pairs.clear();  // the curvature may be stale: try the gradient itself once
      continue;
    }
    remember(at, next, settings.history, pairs);
    const double fall = at.value - next.value;
    std::swap(at, next);
    ++report.iterations;
    report.value.push_back(at.value);
    if (watch && !watch(at.w)) break;
    if (fall < settings.tolerance * (1.0 + std::abs(at.value))) break;
  }
  w = std::move(at.w);
  return report;
}

}  // namespace agora::moe::classic
