// Whether a peer that fails is left alone for a while: closed -> ejected -> probed -> closed.
//
//   Ejection ejection(settings);   ejection.on_failure(now, rng);   ejection.state(now);
//
// Some failures in a row, half of the last calls failed, or silence where there was an answer before (its
// judge is health.h) eject the peer; each time again for twice as long, spread by chance so that gates do not
// return together. Then one call at a time probes it: success takes it back, failure ejects it for longer. A
// peer that is late but answers others has no failures in a row: it is slow, not gone.
// Pure: (event, now) -> state. One thread at a time.
#pragma once

#include <cstdint>

#include "agora/base/loop.h"
#include "agora/base/rng.h"

namespace agora::peers {

struct EjectionSettings {
  int failures_in_row = 3;
  int calls_remembered = 32;  // for the share; counts are halved when there are so many
  int calls_min = 16;         // fewer say nothing about a share
  double failures_share = 0.5;
  int64_t first_ns = base::kSecondNs;  // the first ejection's length
  int64_t longest_ns = 30 * base::kSecondNs;
  double jitter = 0.2;                     // +- of the length
  int64_t probe_ns = 5 * base::kSecondNs;  // a probe without an outcome for so long is forgotten
};

class Ejection {
 public:
  enum class State : uint8_t {
    closed,   // as healthy as we know
    ejected,  // not before until_ns()
    probe,    // its time is over: one call may try
    probing,  // that call is under way
  };

  explicit Ejection(const EjectionSettings& settings) : settings_(settings) {}

  State state(int64_t now_ns) const;
  int64_t until_ns() const { return until_ns_; }

  void on_call(int64_t now_ns);  // one was sent: if it is a probe, others wait for its outcome
  void on_success(int64_t now_ns);
  void on_failure(int64_t now_ns, Rng& rng);
  void on_late(int64_t now_ns, Rng& rng);     // no answer in time, but it answers others meanwhile
  void on_silence(int64_t now_ns, Rng& rng);  // it answers nobody
  void on_unknown();                          // the call was given up; it says nothing of the peer

 private:
  void fail(int in_row, int64_t now_ns, Rng& rng);
  void eject(int64_t now_ns, Rng& rng);
  void count(bool failed);

  EjectionSettings settings_;
  int in_row_ = 0;
  int calls_ = 0;
  int failures_ = 0;
  int ejections_ = 0;     // in a row: each doubles the length
  bool ejected_ = false;  // until a probe succeeds
  int64_t until_ns_ = 0;
  int64_t probe_since_ns_ = -1;  // -1: none under way
};

}  // namespace agora::peers
