#include "agora/swarm/loads_now.h"

#include <cmath>
#include <numeric>

#include "agora/base/check.h"
#include "agora/base/loop.h"

namespace agora::swarm {
namespace {

// Hosts keep a running mean of about five rounds of a second; a second more until it is heard of.
constexpr double kToldAgeNs = 6.0 * base::kSecondNs;
constexpr double kParts = 1e9;

// Empty: no rows.
std::vector<double> shares(std::span<const int64_t> loads) {
  const auto sum = static_cast<double>(std::reduce(loads.begin(), loads.end()));
  if (sum <= 0) return {};
  std::vector<double> result;
  result.reserve(loads.size());
  for (const int64_t load : loads) result.push_back(static_cast<double>(load) / sum);
  return result;
}

}  // namespace

std::span<const int64_t> LoadsNow::after_step(std::span<const int64_t> told, std::span<const int64_t> own,
                                              int64_t now_ns) {
  AGORA_CHECK_EQ(told.size(), own.size());
  const std::vector<double> told_shares = shares(told), own_shares = shares(own);
  if (!own_shares.empty()) remember(own_shares, now_ns);
  now_.assign(own.size(), 0);
  for (size_t e = 0; e < own.size(); ++e) {
    double share = told_shares.empty() ? 0 : told_shares[e];
    if (!own_shares.empty()) share += own_shares[e] - (told_shares.empty() ? 0 : remembered_[e]);
    now_[e] = std::llround(share * kParts);
  }
  return now_;
}

void LoadsNow::remember(const std::vector<double>& own, int64_t now_ns) {
  if (remembered_.empty()) remembered_ = own;
  const auto since_ns = static_cast<double>(now_ns - last_ns_);
  const double weight = since_ns / (since_ns + kToldAgeNs);
  last_ns_ = now_ns;
  for (size_t e = 0; e < own.size(); ++e) remembered_[e] += weight * (own[e] - remembered_[e]);
}

}  // namespace agora::swarm
