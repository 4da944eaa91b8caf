#include "apps/dashboard/chronicle.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include <nlohmann/json.hpp>

namespace agora::dashboard {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kRounding = 1e4;               // of numbers on the page: four digits behind the point
constexpr size_t kExpertsCountedMax = 1 << 16;  // what others say is not believed beyond it

double rounded(double value) { return std::round(value * kRounding) / kRounding; }

// Keeps every second one: the first, the third, ...
template <class T>
void keep_every_second(std::vector<T>& values) {
  for (size_t i = 0; 2 * i < values.size(); ++i) values[i] = values[2 * i];
  values.resize((values.size() + 1) / 2);
}

int64_t different(std::vector<uint64_t>& values) {
  std::ranges::sort(values);
  return std::unique(values.begin(), values.end()) - values.begin();
}

// Experts that somebody holds and nobody leads.
int64_t without_leader(const PeerStatus& status) {
  std::vector<uint64_t> held;
  std::vector<uint64_t> led;
  const auto add = [&](const PeerEntry& entry) {
    for (const swarm::HeldRange& range : entry.state.held) {
      for (int32_t i = 0; i < range.count && held.size() < kExpertsCountedMax; ++i) {
        const auto expert =
            static_cast<uint64_t>(range.layer.value) << 32 | static_cast<uint32_t>(range.first + i);
        held.push_back(expert);
        if (range.leads) led.push_back(expert);
      }
    }
  };
  add(status.self);
  for (const PeerEntry& entry : status.known) add(entry);
  return different(held) - different(led);
}

}  // namespace

void Chronicle::note(const PeerStatus& status, double seconds) {
  note_events(status, seconds);
  note_coverage(status, seconds);
  note_curves(status, seconds);
}

void Chronicle::note_events(const PeerStatus& status, double seconds) {
  std::map<peers::PeerId, Seen> now;
  const auto see = [&](const PeerEntry& entry) {
    const auto [at, is_new] =
        now.emplace(entry.peer, Seen{roles_text(entry.state), count_experts(entry.state).led});
    if (!is_new) return;
    Seen& seen = at->second;
    const auto before = seen_.find(entry.peer);
    const std::string peer = entry.peer.brief();
    if (before == seen_.end()) {
      return add_event(seconds, peer, absl::StrCat("a ", seen.roles, " is here, at ", entry.at.text()));
    }
    seen.led_told = before->second.led_told;
    if (before->second.roles != seen.roles) {
      add_event(seconds, peer, absl::StrCat("is a ", seen.roles, " now"));
    }
    // Told when it has settled: experts come one after the other.
    if (seen.led != seen.led_told && seen.led == before->second.led) {
      add_event(seconds, peer, absl::StrCat("leads ", seen.led, " experts; it led ", seen.led_told));
      seen.led_told = seen.led;
    }
  };
  see(status.self);
  for (const PeerEntry& entry : status.known) see(entry);
  for (const auto& [peer, seen] : seen_) {
    if (!now.contains(peer)) {
      add_event(seconds, peer.brief(),
                absl::StrCat("the ", seen.roles, " has gone; it led ", seen.led, " experts"));
    }
  }
  seen_ = std::move(now);
}

void Chronicle::note_coverage(const PeerStatus& status, double seconds) {
  const int64_t missing = without_leader(status);
  if (missing == without_leader_) return;
  add_event(seconds, "",
            missing == 0 ? "every expert has a leader" : absl::StrCat(missing, " experts have no leader"));
  without_leader_ = missing;
}

void Chronicle::note_curves(const PeerStatus& status, double seconds) {
  if (!at_s_.empty() && seconds < at_s_.back() + point_every_s_) return;
  if (at_s_.size() == kPointsMax) thin();
  at_s_.push_back(seconds);
  for (auto& [peer, losses] : losses_) losses.push_back(kNone);
  double rows_per_s = 0;
  const auto add = [&](const PeerEntry& entry) {
    if (!entry.state.trainer) return;
    rows_per_s += entry.state.rows_per_s;
    note_loss(entry);
  };
  add(status.self);
  for (const PeerEntry& entry : status.known) add(entry);
  rows_per_s_.push_back(rows_per_s);
}

void Chronicle::note_loss(const PeerEntry& entry) {
  if (!(entry.state.loss > 0)) return;
  auto at = losses_.find(entry.peer);
  if (at == losses_.end()) {
    if (losses_.size() == kCurvesMax) {
      const auto last_heard = [](const auto& curve) {
        return std::ranges::find_if(curve.second.rbegin(), curve.second.rend(),
                                    [](float x) { return x > 0; }) -
               curve.second.rbegin();
      };
      losses_.erase(std::ranges::max_element(losses_, {}, last_heard));
    }
    at = losses_.emplace(entry.peer, std::vector<float>(at_s_.size(), kNone)).first;
  }
  at->second.back() = entry.state.loss;
}

void Chronicle::thin() {
  keep_every_second(at_s_);
  keep_every_second(rows_per_s_);
  for (auto& [peer, losses] : losses_) keep_every_second(losses);
  std::erase_if(losses_, [](const auto& curve) {
    return std::ranges::none_of(curve.second, [](float loss) { return loss > 0; });
  });
  point_every_s_ = (at_s_.back() - at_s_.front()) / static_cast<double>(at_s_.size() - 1);
}

void Chronicle::add_event(double seconds, std::string peer, std::string what) {
  if (events_.size() == kEventsMax) events_.pop_front();
  events_.push_back({seconds, std::move(peer), std::move(what)});
}

Json Chronicle::history_json() const {
  Json at_s = Json::array();
  Json rows_per_s = Json::array();
  Json losses = Json::array();
  for (const double seconds : at_s_) at_s.push_back(rounded(seconds));
  for (const double rows : rows_per_s_) rows_per_s.push_back(rounded(rows));
  for (const auto& [peer, values] : losses_) {
    Json curve = Json::array();
    for (const float loss : values) curve.push_back(loss > 0 ? Json(rounded(loss)) : Json());
    losses.push_back({{"peer", peer.text()}, {"loss", std::move(curve)}});
  }
  return {{"at_s", std::move(at_s)}, {"rows_per_s", std::move(rows_per_s)}, {"losses", std::move(losses)}};
}

Json Chronicle::events_json() const {
  Json list = Json::array();
  for (auto event = events_.rbegin(); event != events_.rend(); ++event) {
    list.push_back({{"at_s", rounded(event->seconds)}, {"peer", event->peer}, {"what", event->what}});
  }
  return list;
}

}  // namespace agora::dashboard
