#include "agora/peers/health/health.h"

#include <algorithm>
#include <utility>

#include "agora/base/check.h"

namespace agora::peers {
namespace {

constexpr double kSlow = 0.99;    // the quantile of a peer's own answers that is slow
constexpr int64_t kPatience = 4;  // times a slow answer

}  // namespace

Health::Peer& Health::touch(const PeerId& peer, int64_t now_ns) {
  auto at = peers_.find(peer);
  if (at == peers_.end()) {
    if (peers_.size() >= settings_.peers_max) {
      peers_.erase(std::min_element(peers_.begin(), peers_.end(), [](const auto& a, const auto& b) {
        return a.second.touched_ns < b.second.touched_ns;
      }));
    }
    at = peers_.emplace(peer, settings_.ejection).first;
  }
  at->second.touched_ns = now_ns;
  return at->second;
}

const Health::Peer* Health::find(const PeerId& peer) const {
  const auto at = peers_.find(peer);
  return at == peers_.end() ? nullptr : &at->second;
}

void Health::on_call(const PeerId& peer, int64_t now_ns) {
  Peer& known = touch(peer, now_ns);
  known.ejection.on_call(now_ns);
  if (known.load.in_flight() == 0) known.waiting_since_ns = now_ns;
  known.load.on_call();
}

void Health::on_answer(const PeerId& peer, int64_t now_ns, int64_t latency_ns, uint32_t load_us) {
  Peer& known = touch(peer, now_ns);
  known.ejection.on_success(now_ns);
  known.latency.add(latency_ns);
  known.load.on_answer(now_ns, latency_ns, load_us);
  known.silent_ns = 0;
  known.waiting_since_ns = answered_ns_ = now_ns;
}

void Health::on_failure(const PeerId& peer, int64_t now_ns) {
  Peer& known = touch(peer, now_ns);
  known.out_for_silence = false;
  known.ejection.on_failure(now_ns, rng_);
  end_call(known, now_ns);
}

void Health::on_late(const PeerId& peer, int64_t now_ns, int64_t waited_ns) {
  Peer& known = touch(peer, now_ns);
  end_call(known, now_ns);
  if (is_silent(known, now_ns)) return on_silence(known, now_ns);
  known.out_for_silence = false;
  if (known.silent_ns < waited_ns) {
    known.latency.add(2 * waited_ns);  // what it would have taken is not known, but more than it got
  } else if (now_ns - waited_ns >= known.failed_ns) {
    known.failed_ns = now_ns;
    return known.ejection.on_failure(now_ns, rng_);
  }
  known.ejection.on_late(now_ns, rng_);
}

void Health::on_given_up(const PeerId& peer, int64_t now_ns) {
  const auto at = peers_.find(peer);
  if (at == peers_.end()) return;
  Peer& known = at->second;
  end_call(known, now_ns);
  if (is_silent(known, now_ns)) return on_silence(known, now_ns);
  known.ejection.on_unknown();
}

void Health::end_call(Peer& peer, int64_t now_ns) {
  if (peer.load.in_flight() > 0) peer.silent_ns += now_ns - std::exchange(peer.waiting_since_ns, now_ns);
  peer.load.on_end();
}

bool Health::is_silent(const Peer& peer, int64_t now_ns) const {
  const bool few = peer.latency.count() < kQuantileCallsMin;
  const int64_t bound_ns =
      few ? settings_.silence_unknown_ns
          : std::max(settings_.silence_min_ns, kPatience * peer.latency.quantile_ns(kSlow));
  return peer.silent_ns >= bound_ns && answered_ns_ > now_ns - peer.silent_ns;
}

bool Health::too_many_silent(int64_t now_ns) const {
  const auto out = std::ranges::count_if(peers_, [&](const auto& peer) {
    return peer.second.out_for_silence && peer.second.ejection.state(now_ns) != Ejection::State::closed;
  });
  return static_cast<double>(out + 1) >
         std::max(1.0, settings_.silence_share_max * static_cast<double>(peers_.size()));
}

void Health::on_silence(Peer& peer, int64_t now_ns) {
  const bool is_out = peer.ejection.state(now_ns) != Ejection::State::closed;
  peer.out_for_silence = is_out || !too_many_silent(now_ns);
  peer.out_for_silence ? peer.ejection.on_silence(now_ns, rng_) : peer.ejection.on_late(now_ns, rng_);
}

void Health::on_report(const PeerId& peer, int64_t now_ns, uint32_t load_us) {
  const auto at = peers_.find(peer);
  if (at != peers_.end()) at->second.load.on_report(now_ns, load_us);
}

void Health::forget(const PeerId& peer) { peers_.erase(peer); }

Ejection::State Health::state(const PeerId& peer, int64_t now_ns) const {
  const Peer* known = find(peer);
  return known == nullptr ? Ejection::State::closed : known->ejection.state(now_ns);
}

int64_t Health::expected_ns(const PeerId& peer, int64_t now_ns) const {
  const Peer* known = find(peer);
  return known == nullptr ? LoadEstimate::kUnknownNs : known->load.expected_ns(now_ns);
}

int64_t Health::quantile_ns(const PeerId& peer, double q) const {
  const Peer* known = find(peer);
  if (known == nullptr || known->latency.count() < kQuantileCallsMin) return 0;
  return known->latency.quantile_ns(q);
}

int64_t Health::patience_ns(const PeerId& peer, int64_t now_ns) const {
  if (state(peer, now_ns) == Ejection::State::ejected) return 0;
  const int64_t slow_ns = quantile_ns(peer, kSlow);
  return slow_ns == 0 ? INT64_MAX : kPatience * slow_ns;
}

std::vector<size_t> Health::usable(std::span<const PeerId> candidates, int64_t now_ns, size_t floor) const {
  std::vector<size_t> good;
  std::vector<std::pair<int64_t, size_t>> ejected;  // by when they come back
  for (size_t i = 0; i < candidates.size(); ++i) {
    const Peer* known = find(candidates[i]);
    const Ejection::State state = known == nullptr ? Ejection::State::closed : known->ejection.state(now_ns);
    if (state == Ejection::State::closed || state == Ejection::State::probe) {
      good.push_back(i);
    } else {
      ejected.emplace_back(known->ejection.until_ns(), i);
    }
  }
  if (good.size() < floor) {
    std::sort(ejected.begin(), ejected.end());
    ejected.resize(std::min(ejected.size(), floor - good.size()));
    for (const auto& [until_ns, index] : ejected) good.push_back(index);
    std::sort(good.begin(), good.end());
  }
  return good;
}

}  // namespace agora::peers
