#include "agora/peers/health/load_estimate.h"

#include <cmath>

namespace agora::peers {
namespace {

constexpr double kFall = 0.3;  // of the difference, for each answer that was faster
constexpr double kRise = 0.05;

}  // namespace

void LoadEstimate::on_answer(int64_t now_ns, int64_t latency_ns, uint32_t load_us) {
  on_end();
  const auto difference = static_cast<double>(latency_ns - latency_ns_);
  latency_ns_ =
      measured_ ? latency_ns_ + std::llround(difference * (difference < 0 ? kFall : kRise)) : latency_ns;
  measured_ = true;
  on_report(now_ns, load_us);
}

void LoadEstimate::on_report(int64_t now_ns, uint32_t load_us) {
  wait_ns_ = load_us * base::kMicrosecondNs;
  reported_at_ns_ = now_ns;
}

int64_t LoadEstimate::expected_ns(int64_t now_ns) const {
  const double age = static_cast<double>(now_ns - reported_at_ns_) / kReportHalfNs;
  return std::llround(static_cast<double>(wait_ns_) * std::exp2(-age)) + latency_ns_ * (in_flight_ + 1);
}

}  // namespace agora::peers
