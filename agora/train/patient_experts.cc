#include "agora/train/patient_experts.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace agora::train {
namespace {

bool nothing_arrived(const moe::Route& route, const StatusOr<moe::MixResult>& mixed) {
  return route.choices() > 0 &&
         std::ranges::none_of(mixed->arrived, [](uint8_t arrived) { return arrived != 0; });
}

// What another host, or the same one later, may well do.
bool worth_asking_again(const Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsResourceExhausted(status);
}

}  // namespace

StatusOr<moe::MixResult> PatientExperts::mix(LayerId layer, moe::View<const float> x, const moe::Route& route,
                                             moe::Keep keep, moe::Deadline deadline, moe::View<float> y) {
  const int64_t until_ns = std::min(deadline.ns, loop_.now_ns() + patience_.patience_ns);
  for (int64_t pause_ns = patience_.pause_ns;; pause_ns = std::min(2 * pause_ns, patience_.pause_ns_max)) {
    auto mixed = inner_.mix(layer, x, route, keep, deadline, y);
    if (!mixed.ok() && !worth_asking_again(mixed.status())) return mixed;
    if (mixed.ok()) {
      if (!nothing_arrived(route, mixed)) return mixed;
      inner_.release(mixed->ticket);
    }
    if (loop_.now_ns() + pause_ns > until_ns) {
      return absl::UnavailableError(absl::StrCat(
          "layer ", layer.value, ": for ", patience_.patience_ns / base::kSecondNs,
          " s no host has served any of its experts; expected at least one: is a host running (agora peers)?",
          mixed.ok() ? "" : absl::StrCat(" The last error: ", mixed.status().ToString())));
    }
    if (!pause(pause_ns)) return absl::CancelledError("training was stopped while it waited for experts");
  }
}

Status PatientExperts::mix_backward(moe::Ticket ticket, moe::View<const float> dy, moe::Deadline deadline,
                                    moe::View<float> dx, std::span<float> dweights) {
  const Status status = inner_.mix_backward(ticket, dy, deadline, dx, dweights);
  if (status.ok() || absl::IsInvalidArgument(status)) return status;
  for (int64_t t = 0; t < dx.rows; ++t) std::ranges::fill(dx.row_span(t), 0.0f);
  std::ranges::fill(dweights, 0.0f);
  base::MutexLock lock(mutex_);
  ++backwards_failed_;
  return absl::OkStatus();
}

bool PatientExperts::pause(int64_t ns) {
  const base::BatonRest rest(baton_);
  {
    base::MutexLock lock(mutex_);
    ++pauses_;
  }
  return until_stopped_.rest(ns);
}

uint64_t PatientExperts::pauses() const {
  base::MutexLock lock(mutex_);
  return pauses_;
}

uint64_t PatientExperts::backwards_failed() const {
  base::MutexLock lock(mutex_);
  return backwards_failed_;
}

}  // namespace agora::train
