#include "agora/sim/timeline.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace agora::sim {

void Timeline::watch(Run& run) {
  run.histories().add(*this);
  run.each_sample([this](World& world, bool) { look(world); });
}

void Timeline::on_fault(int64_t at_ns, std::string_view what) {
  struck_ns_ = at_ns;
  recovery_ = {};
  mark(at_ns, what);
}

void Timeline::on_mended(int64_t at_ns, std::string_view what) { mark(at_ns, what); }

void Timeline::mark(int64_t at_ns, std::string_view what) {
  ++marks_in_all_;
  if (marks_.size() < kMarksMax) marks_.push_back({at_ns, std::string(what)});
}

void Timeline::on_answer(const AnswerFact& fact) {
  if (recovery_.answered_ns >= 0 || !fact.status.ok() || fact.asked_ns < struck_ns_ || fact.mass_lost > 0) {
    return;
  }
  recovery_.answered_ns = fact.at_ns - struck_ns_;
}

void Timeline::look(World& world) {
  Sample now{.at_ns = world.now_ns(), .experts = count_experts(world)};
  now.hosts_alive = std::ranges::count_if(world.hosts(), [](Peer* peer) { return peer->alive(); });
  experts_ = now.experts.wanted;
  now.bytes_per_s_most = busiest(world, now.at_ns - (samples_.empty() ? 0 : samples_.back().at_ns));
  samples_.push_back(now);
  if (recovery_.led_ns < 0 && now.experts.led >= experts_) recovery_.led_ns = now.at_ns - struck_ns_;
  if (recovery_.whole_ns < 0 && now.experts.whole >= experts_) recovery_.whole_ns = now.at_ns - struck_ns_;
}

double Timeline::busiest(World& world, int64_t passed_ns) {
  uint64_t most = 0;
  bytes_before_.resize(world.peers().size());
  for (const std::unique_ptr<Peer>& peer : world.peers()) {
    const PlaceTraffic& traffic = world.network().traffic(peer->place());
    const uint64_t bytes = traffic.bytes_sent + traffic.bytes_received;
    most = std::max(most, bytes - bytes_before_[peer->number()]);
    bytes_before_[peer->number()] = bytes;
  }
  return static_cast<double>(most) * 1e9 / static_cast<double>(std::max<int64_t>(1, passed_ns));
}

std::string recovery_text(int64_t ns) {
  return ns < 0 ? "not until the end" : absl::StrFormat("%.1f s", static_cast<double>(ns) / 1e9);
}

std::string timeline_text(const Timeline& timeline) {
  if (timeline.marks_in_all() == 0) return "";
  const Timeline::Recovery& since = timeline.recovery();
  int64_t lost = 0;
  for (const Timeline::Sample& sample : timeline.samples()) {
    if (sample.at_ns >= timeline.marks().front().at_ns) lost = std::max(lost, sample.experts.lost);
  }
  return report_row(
      "recovery", absl::StrFormat("since the last fault: first whole answer %s, all led %s, all replicas %s; "
                                  "at worst %d experts were held by nobody",
                                  recovery_text(since.answered_ns), recovery_text(since.led_ns),
                                  recovery_text(since.whole_ns), lost));
}

}  // namespace agora::sim
