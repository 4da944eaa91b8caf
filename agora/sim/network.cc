#include "agora/sim/network.h"

#include <algorithm>
#include <string>

#include "agora/base/check.h"
#include "agora/base/text.h"

namespace agora::sim {
namespace {

constexpr uint32_t kTailOneIn = 64;
constexpr int kTailMax = 5;  // doublings of the tail

std::vector<uint8_t> side_of(const std::vector<Place>& named, size_t places) {
  std::vector<uint8_t> side(places, 0);
  for (const Place place : named) side[place.value] = 1;
  return side;
}

bool on(const std::vector<uint8_t>& side, Place place) {
  return place.value < side.size() && side[place.value] != 0;
}

}  // namespace

StatusOr<Latency> latency_of(std::string_view name) {
  if (name == "lan") return Latency::lan();
  if (name == "home") return Latency::home();
  if (name == "world") return Latency::world();
  return absl::InvalidArgumentError(base::concat("latency: expected lan, home or world, got ", name));
}

Network::Network(base::VirtualLoop& world, Rng rng, const Latency& latency)
    : world_(world), rng_(rng), pairs_seed_(rng_.next_u64()), latency_(latency) {}

Place Network::add_place() {
  places_.emplace_back();
  return Place{static_cast<uint32_t>(places_.size() - 1)};
}

uint64_t Network::cut(Cut cut) {
  Standing standing{.number = ++last_cut_,
                    .since_ns = world_.now_ns(),
                    .from = side_of(cut.from, places_.size()),
                    .to = {},
                    .one_way = cut.one_way,
                    .flap_ns = cut.flap_ns};
  standing.to = side_of(cut.to, places_.size());
  if (cut.to.empty()) {
    for (size_t i = 0; i < standing.to.size(); ++i) standing.to[i] = standing.from[i] == 0 ? 1 : 0;
  }
  cuts_.push_back(std::move(standing));
  return last_cut_;
}

void Network::mend(uint64_t number) {
  std::erase_if(cuts_, [number](const Standing& cut) { return cut.number == number; });
}

bool Network::is_cut(Place from, Place to) const {
  return std::ranges::any_of(cuts_, [&](const Standing& cut) {
    const int64_t passed_ns = world_.now_ns() - cut.since_ns;
    if (cut.flap_ns > 0 && passed_ns / cut.flap_ns % 2 == 1) return false;
    return (on(cut.from, from) && on(cut.to, to)) || (!cut.one_way && on(cut.from, to) && on(cut.to, from));
  });
}

void Network::set_uplink(Place place, int64_t bytes_per_s) {
  places_[place.value].uplink_bytes_per_s = bytes_per_s;
}

int64_t Network::up_to(int64_t ns) {
  return ns <= 0 ? 0 : static_cast<int64_t>(rng_.next_u64() % (static_cast<uint64_t>(ns) + 1));
}

int64_t Network::mean_latency_ns(Place from, Place to) const {
  const auto [low, high] = std::minmax(from.value, to.value);
  const uint64_t drawn = mix_bits(pairs_seed_ ^ mix_bits(uint64_t{low} << 32 | high));
  const auto span = static_cast<uint64_t>(latency_.high_ns - latency_.low_ns) + 1;
  return latency_.low_ns + static_cast<int64_t>(drawn % span);
}

int64_t Network::draw_latency(Place from, Place to) {
  int64_t ns = mean_latency_ns(from, to) + up_to(latency_.jitter_ns);
  for (int i = 1; i <= kTailMax && rng_.below(kTailOneIn) == 0; ++i) ns += latency_.jitter_ns << i;
  return ns;
}

int64_t Network::through_uplink(At& at, size_t bytes, int64_t leaves_ns) {
  if (at.uplink_bytes_per_s == 0) return leaves_ns;
  const auto takes_ns =
      static_cast<int64_t>(bytes * 1'000'000'000 / static_cast<uint64_t>(at.uplink_bytes_per_s));
  at.uplink_free_ns = std::max(at.uplink_free_ns, leaves_ns) + takes_ns;
  return at.uplink_free_ns;
}

Fate Network::send(Place from, Place to, size_t bytes, int64_t leaves_ns, MessageKind kind) {
  At& at = places_[from.value];
  ++at.traffic.messages_sent;
  at.traffic.bytes_sent += bytes;
  ++counters_.messages;
  counters_.bytes += bytes;
  Fate fate;
  if (is_cut(from, to)) {
    ++counters_.cut;
    fate.cut = true;
    return fate;
  }
  const int64_t left_ns = through_uplink(at, bytes, leaves_ns);
  if (from != to && chance(faults.loss_ppm)) {
    ++counters_.lost;
    return fate;
  }
  int64_t arrives_ns = left_ns + draw_latency(from, to);
  if (from != to && chance(faults.reorder_ppm)) {
    ++counters_.reordered;
    arrives_ns += up_to(faults.reorder_ns_max);
  } else {
    int64_t& last_ns = last_arrival_[uint64_t{from.value} << 32 | to.value];
    arrives_ns = last_ns = std::max(last_ns, arrives_ns);
  }
  fate.at_ns[fate.copies++] = arrives_ns;
  if (from != to && chance(faults.duplicate_ppm)) {
    ++counters_.duplicated;
    fate.at_ns[fate.copies++] = left_ns + draw_latency(from, to);
  }
  if (from != to && kind == MessageKind::request && chance(faults.replay_ppm)) {
    ++counters_.replayed;
    fate.at_ns[fate.copies++] = arrives_ns + up_to(faults.replay_ns_max);
  }
  places_[to.value].traffic.bytes_received += bytes * static_cast<size_t>(fate.copies);
  return fate;
}

}  // namespace agora::sim
