#include "agora/peers/health/latency_quantile.h"

#include <algorithm>
#include <cmath>

namespace agora::peers {

size_t LatencyQuantile::bucket_of(int64_t latency_ns) {
  if (latency_ns <= kFirstNs) return 0;
  const double octaves = std::log2(static_cast<double>(latency_ns) / kFirstNs);
  return std::min(static_cast<size_t>(std::ceil(octaves * kPerOctave)), kBuckets - 1);
}

int64_t LatencyQuantile::upper_ns(size_t bucket) {
  return std::llround(kFirstNs * std::exp2(static_cast<double>(bucket) / kPerOctave));
}

void LatencyQuantile::add(int64_t latency_ns) {
  ++counts_[bucket_of(latency_ns)];
  if (++total_ < kTotalMax) return;
  total_ = 0;
  for (uint16_t& count : counts_) {
    count /= 2;
    total_ += count;
  }
}

int64_t LatencyQuantile::quantile_ns(double q) const {
  if (total_ == 0) return 0;
  const auto rank = static_cast<uint32_t>(std::ceil(q * total_));
  uint32_t below = 0;
  size_t bucket = 0;
  for (; bucket + 1 < kBuckets; ++bucket) {
    below += counts_[bucket];
    if (below >= std::max(rank, 1u)) break;
  }
  return upper_ns(bucket);
}

}  // namespace agora::peers
