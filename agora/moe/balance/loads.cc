#include "agora/moe/balance/loads.h"

#include <algorithm>
#include <cmath>

namespace agora::moe {

LoadSpread load_spread(std::span<const int64_t> loads) {
  double sum = 0;
  for (const int64_t load : loads) sum += static_cast<double>(load);
  if (sum == 0) return {};
  const double mean = sum / static_cast<double>(loads.size());
  LoadSpread spread;
  double squares = 0;
  for (const int64_t load : loads) {
    const auto value = static_cast<double>(load);
    squares += (value - mean) * (value - mean);
    if (load > 0) spread.entropy -= value / sum * std::log(value / sum);
  }
  const auto largest = static_cast<double>(*std::max_element(loads.begin(), loads.end()));
  spread.max_violation = (largest - mean) / mean;
  spread.variation = std::sqrt(squares / static_cast<double>(loads.size())) / mean;
  return spread;
}

}  // namespace agora::moe
