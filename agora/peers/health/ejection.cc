#include "agora/peers/health/ejection.h"

#include <algorithm>

namespace agora::peers {

Ejection::State Ejection::state(int64_t now_ns) const {
  if (!ejected_) return State::closed;
  if (now_ns < until_ns_) return State::ejected;
  const bool probing = probe_since_ns_ >= 0 && now_ns < probe_since_ns_ + settings_.probe_ns;
  return probing ? State::probing : State::probe;
}

void Ejection::on_call(int64_t now_ns) {
  if (state(now_ns) == State::probe) probe_since_ns_ = now_ns;
}

void Ejection::on_success(int64_t now_ns) {
  in_row_ = 0;
  count(false);
  // A late answer to a call from before does not end an ejection: only the peer as it is now does.
  if (!ejected_ || now_ns < until_ns_) return;
  ejected_ = false;
  probe_since_ns_ = -1;
  calls_ = failures_ = 0;
}

void Ejection::on_failure(int64_t now_ns, Rng& rng) { fail(in_row_ + 1, now_ns, rng); }

void Ejection::on_late(int64_t now_ns, Rng& rng) { fail(in_row_, now_ns, rng); }

void Ejection::on_silence(int64_t now_ns, Rng& rng) { fail(settings_.failures_in_row, now_ns, rng); }

void Ejection::fail(int in_row, int64_t now_ns, Rng& rng) {
  in_row_ = in_row;
  count(true);
  if (ejected_) {
    if (now_ns >= until_ns_) eject(now_ns, rng);
    return;  // calls from before the ejection fail too; they say nothing new
  }
  const bool often = calls_ >= settings_.calls_min && failures_ >= settings_.failures_share * calls_;
  if (in_row_ >= settings_.failures_in_row || often) eject(now_ns, rng);
}

void Ejection::on_unknown() { probe_since_ns_ = -1; }

void Ejection::eject(int64_t now_ns, Rng& rng) {
  // One calm stretch as long as the longest ejection forgives the past.
  if (ejections_ > 0 && now_ns > until_ns_ + settings_.longest_ns) ejections_ = 0;
  const int doublings = std::min(ejections_++, 30);
  const bool longest = settings_.first_ns > settings_.longest_ns >> doublings;
  const int64_t length_ns = longest ? settings_.longest_ns : settings_.first_ns << doublings;
  const double spread = 1 + settings_.jitter * (2 * rng.uniform_double() - 1);
  until_ns_ = now_ns + static_cast<int64_t>(static_cast<double>(length_ns) * spread);
  ejected_ = true;
  probe_since_ns_ = -1;
  in_row_ = 0;
  calls_ = failures_ = 0;
}

void Ejection::count(bool failed) {
  ++calls_;
  failures_ += failed ? 1 : 0;
  if (calls_ < settings_.calls_remembered) return;
  calls_ /= 2;
  failures_ /= 2;
}

}  // namespace agora::peers
