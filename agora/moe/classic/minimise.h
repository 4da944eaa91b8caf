// Minimises a smooth function of some thousand unknowns by L-BFGS (Nocedal 1980) with a backtracking line
// search.
//
//   std::vector<double> w = start;
//   const Objective value = [&](std::span<const double> w, std::span<double> gradient) { ...; return v; };
//   MinimiseReport report = minimise(value, {.iterations_max = 200}, w);
//
// The value never rises from one iteration to the next. The same start gives the same end. Any thread.
#pragma once

#include <functional>
#include <span>
#include <vector>

namespace agora::moe::classic {

struct MinimiseSettings {
  int iterations_max = 200;
  int history = 10;         // pairs of steps and gradient changes that stand for the curvature
  double tolerance = 1e-8;  // the fall per iteration, relative to the value, that ends the search
};

struct MinimiseReport {
  std::vector<double> value;  // at the start and after each iteration; never rises
  int iterations = 0;
};

// Value at w; writes the gradient, which has w's size.
using Objective = std::function<double(std::span<const double> w, std::span<double> gradient)>;

// Called after each iteration; false ends the search (early stopping). May be empty.
using Watch = std::function<bool(std::span<const double> w)>;

// w is the start and becomes the best point found. A value that is not finite counts as infinitely bad.
MinimiseReport minimise(const Objective& objective, const MinimiseSettings& settings, std::vector<double>& w,
                        const Watch& watch = {});

}  // namespace agora::moe::classic
