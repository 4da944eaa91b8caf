// Small problems for the tests of the classic mixtures: random rows, and a function that two straight lines
// make. One thread at a time per Rng.
#pragma once

#include <algorithm>
#include <cmath>

#include "agora/base/rng.h"
#include "agora/moe/classic/examples.h"

namespace agora::moe::classic {

inline Examples random_examples(Task task, int64_t rows, int64_t width, int64_t outputs, Rng& rng) {
  Examples e;
  e.x = Matrix(rows, width);
  for (double& v : e.x.values) v = rng.normal();
  if (task == Task::regression) {
    e.d = Matrix(rows, outputs);
    for (int64_t n = 0; n < rows; ++n) {
      for (int64_t o = 0; o < outputs; ++o) e.d(n, o) = std::abs(e.x(n, o % width)) + 0.1 * rng.normal();
    }
    return e;
  }
  e.classes = static_cast<int32_t>(outputs);
  for (int64_t n = 0; n < rows; ++n) {
    const double score = std::abs(e.x(n, 0)) * static_cast<double>(outputs) / 2.0 + 0.3 * rng.normal();
    e.label.push_back(std::clamp(static_cast<int32_t>(score), 0, e.classes - 1));
  }
  return e;
}

// d = |x| + noise over [-1, 1]: two lines that meet at 0.
inline Examples two_lines(int64_t rows, double noise, Rng& rng) {
  Examples e{.x = Matrix(rows, 1), .d = Matrix(rows, 1)};
  for (int64_t n = 0; n < rows; ++n) {
    e.x(n, 0) = 2.0 * rng.uniform_double() - 1.0;
    e.d(n, 0) = std::abs(e.x(n, 0)) + noise * rng.normal();
  }
  return e;
}

inline double mean_squared_error(const Matrix& answer, const Matrix& target) {
  double sum = 0.0;
  for (size_t i = 0; i < answer.values.size(); ++i) {
    sum += (answer.values[i] - target.values[i]) * (answer.values[i] - target.values[i]);
  }
  return sum / static_cast<double>(answer.values.size());
}

}  // namespace agora::moe::classic
