// Live quantiles of a latency: a histogram whose buckets grow by 19 % and which forgets by halves.
//
//   LatencyQuantile latency;   latency.add(1'300'000);   int64_t p95_ns = latency.quantile_ns(0.95);
//
// An answer is at most 19 % above the true quantile of what it remembers, the last few hundred calls,
// whatever their distribution. 168 bytes, add() in constant time. One thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace agora::peers {

class LatencyQuantile {
 public:
  void add(int64_t latency_ns);
  // The upper edge of the bucket that holds the quantile; 0 before the first add(). 0 <= q <= 1.
  int64_t quantile_ns(double q) const;
  uint32_t count() const { return total_; }  // of those that it remembers

 private:
  static constexpr int64_t kFirstNs = 8'000;  // what is faster shares the first bucket
  static constexpr int kPerOctave = 4;        // 2^(1/4) = 1.19
  static constexpr size_t kBuckets = 82;      // up to 8 us * 2^(81/4) = 10 s; what is slower shares the last
  static constexpr uint32_t kTotalMax = 512;  // then every count is halved: about the last 500 calls matter

  static size_t bucket_of(int64_t latency_ns);
  static int64_t upper_ns(size_t bucket);

  std::array<uint16_t, kBuckets> counts_{};
  uint32_t total_ = 0;
};

}  // namespace agora::peers
