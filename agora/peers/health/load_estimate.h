// What a call to a peer would cost now: the wait that the peer last reported, and its latency for each call
// of ours that is still there, this one included.
//
//   estimate.on_call();   estimate.on_answer(now, latency_ns, reply.load_us);   estimate.expected_ns(now);
//
// Latency falls quickly and rises slowly to what is measured, so that waits in the peer's queue, which it
// reports by itself, hardly count twice. A report is worth half after kReportHalfNs: old news must not keep a
// peer idle. One thread at a time.
#pragma once

#include <cstdint>

#include "agora/base/loop.h"

namespace agora::peers {

class LoadEstimate {
 public:
  static constexpr int64_t kUnknownNs = 2 * base::kMillisecondNs;  // latency until the first answer
  static constexpr int64_t kReportHalfNs = base::kSecondNs;

  void on_call() { ++in_flight_; }
  void on_answer(int64_t now_ns, int64_t latency_ns, uint32_t load_us);
  void on_end() { in_flight_ -= in_flight_ > 0 ? 1 : 0; }  // ended without an answer
  void on_report(int64_t now_ns, uint32_t load_us);        // in a directory record

  int64_t expected_ns(int64_t now_ns) const;
  int64_t latency_ns() const { return latency_ns_; }
  int in_flight() const { return in_flight_; }

 private:
  int64_t latency_ns_ = kUnknownNs;
  bool measured_ = false;
  int in_flight_ = 0;
  int64_t wait_ns_ = 0;
  int64_t reported_at_ns_ = 0;
};

}  // namespace agora::peers
