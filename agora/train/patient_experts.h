// Waits for experts that nobody serves at the moment, instead of learning without them.
//
//   PatientExperts experts(remote, loop, &baton, {});
//   experts.stop();                                     // from any thread: who waits returns Cancelled
//
// A call from which some choices are missing is as good as any: missing work is data. A call from which all
// are missing says that no host could be reached, or none that holds these experts: it is asked again, after
// a pause that doubles, until patience_ns is over. A backward call that fails gives no gradient (dx = 0): the
// trunk then learns from the rest of the batch. Threads: as the inner experts; the baton is given away during
// pauses.
#pragma once

#include <cstdint>

#include "agora/base/baton.h"
#include "agora/base/loop.h"
#include "agora/base/until_stopped.h"
#include "agora/moe/experts.h"

namespace agora::train {

struct Patience {
  int64_t patience_ns = 120 * base::kSecondNs;
  int64_t pause_ns = 50 * base::kMillisecondNs;  // the first
  int64_t pause_ns_max = 2 * base::kSecondNs;
};

class PatientExperts final : public moe::Experts {
 public:
  // All are borrowed; baton may be null. loop: the one that deadlines are of.
  PatientExperts(moe::Experts& inner, base::Loop& loop, base::Baton* baton, const Patience& patience)
      : inner_(inner), loop_(loop), baton_(baton), patience_(patience), until_stopped_(loop) {}

  // Unavailable: nobody served any of it for patience_ns.
  StatusOr<moe::MixResult> mix(LayerId layer, moe::View<const float> x, const moe::Route& route,
                               moe::Keep keep, moe::Deadline deadline, moe::View<float> y) override;
  Status mix_backward(moe::Ticket ticket, moe::View<const float> dy, moe::Deadline deadline,
                      moe::View<float> dx, std::span<float> dweights) override;
  void release(moe::Ticket ticket) override { inner_.release(ticket); }
  Status end_step(const moe::StepSettings& settings) override { return inner_.end_step(settings); }
  void drop_gradients() override { inner_.drop_gradients(); }

  void stop() { until_stopped_.stop(); }
  uint64_t pauses() const;  // calls that had to be asked again
  uint64_t backwards_failed() const;

 private:
  bool pause(int64_t ns);  // false: stopped

  moe::Experts& inner_;
  base::Loop& loop_;
  base::Baton* baton_;
  const Patience patience_;
  base::UntilStopped until_stopped_;
  mutable base::Mutex mutex_;
  uint64_t pauses_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t backwards_failed_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace agora::train
