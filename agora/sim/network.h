// The simulated network: how long a message takes from one place to another, and whether it comes at all.
//
//   Network network(world, rng.fork("network"), Latency::home());
//   const Place a = network.add_place(), b = network.add_place();
//   network.faults.loss_ppm = 50'000;   network.cut({.from = {a}, .to = {b}, .one_way = true});
//   Fate fate = network.send(a, b, bytes, leaves_ns);    // when it arrives: never, once, or several times
//
// A place is a machine's network card: it stays when processes on it come and go. Messages between two places
// keep their order, as over one connection, unless they are reordered on purpose. What a place sends shares
// its uplink: a clogged one makes everything wait. All draws are integers, the same on every machine. One
// thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "agora/base/result.h"
#include "agora/base/rng.h"
#include "agora/base/virtual_loop.h"

namespace agora::sim {

using base::kMicrosecondNs;
using base::kMillisecondNs;
using base::kSecondNs;

struct Place {
  uint32_t value = 0;
  friend auto operator<=>(Place, Place) = default;
};

// One way. Two places have a mean of their own between low and high; a message's own time is heavy-tailed
// around it: one in 64 takes 2 jitters more, one in 64 * 64 4, and so on.
struct Latency {
  int64_t low_ns = 0, high_ns = 0;
  int64_t jitter_ns = 0;  // uniform in [0, jitter_ns], and the tail

  static Latency lan() { return {100 * kMicrosecondNs, 300 * kMicrosecondNs, 50 * kMicrosecondNs}; }
  static Latency home() { return {5 * kMillisecondNs, 25 * kMillisecondNs, 4 * kMillisecondNs}; }
  static Latency world() { return {15 * kMillisecondNs, 100 * kMillisecondNs, 10 * kMillisecondNs}; }
};

// InvalidArgument: not lan, home or world.
StatusOr<Latency> latency_of(std::string_view name);

// Of every message between different places, in parts per million.
struct MessageFaults {
  uint32_t loss_ppm = 0;       // it never comes
  uint32_t duplicate_ppm = 0;  // it comes twice
  uint32_t reorder_ppm = 0;    // it is held back, and others overtake it
  uint32_t replay_ppm = 0;     // of requests: it comes once more, seconds later
  int64_t reorder_ns_max = 300 * kMillisecondNs;
  int64_t replay_ns_max = 20 * kSecondNs;
};

// Nothing goes from one side to the other.
struct Cut {
  std::vector<Place> from, to;  // to empty: everybody else
  bool one_way = false;
  int64_t flap_ns = 0;  // cut for so long, then whole for so long, and again; 0: cut until it is mended
};

struct Fate {
  static constexpr int kCopiesMax = 3;
  int copies = 0;
  int64_t at_ns[kCopiesMax] = {};  // of the world
  bool cut = false;                // by a cut, not by chance: silence lasts
};

enum class MessageKind : uint8_t { request, answer };

struct PlaceTraffic {
  uint64_t messages_sent = 0, bytes_sent = 0, bytes_received = 0;
};

struct NetworkCounters {
  uint64_t messages = 0, bytes = 0;
  uint64_t lost = 0, duplicated = 0, reordered = 0, replayed = 0, cut = 0;
};

class Network {
 public:
  Network(base::VirtualLoop& world, Rng rng, const Latency& latency);

  Place add_place();
  size_t places() const { return places_.size(); }

  // bytes: frame and all. leaves_ns: of the world, not before now.
  Fate send(Place from, Place to, size_t bytes, int64_t leaves_ns, MessageKind kind);

  MessageFaults faults;
  uint64_t cut(Cut cut);  // its number
  void mend(uint64_t number);
  void mend_all() { cuts_.clear(); }
  bool is_cut(Place from, Place to) const;
  void set_uplink(Place place, int64_t bytes_per_s);  // 0: no limit
  int64_t mean_latency_ns(Place from, Place to) const;

  const NetworkCounters& counters() const { return counters_; }
  const PlaceTraffic& traffic(Place place) const { return places_[place.value].traffic; }

 private:
  struct At {
    int64_t uplink_bytes_per_s = 0;
    int64_t uplink_free_ns = 0;
    PlaceTraffic traffic;
  };
  struct Standing {
    uint64_t number = 0;
    int64_t since_ns = 0;
    std::vector<uint8_t> from, to;  // [places] 1: on that side
    bool one_way = false;
    int64_t flap_ns = 0;
  };

  bool chance(uint32_t ppm) { return ppm > 0 && rng_.below(1'000'000) < ppm; }
  int64_t up_to(int64_t ns);
  int64_t draw_latency(Place from, Place to);
  int64_t through_uplink(At& at, size_t bytes, int64_t leaves_ns);

  base::VirtualLoop& world_;
  Rng rng_;
  const uint64_t pairs_seed_;
  const Latency latency_;
  std::vector<At> places_;
  std::vector<Standing> cuts_;
  uint64_t last_cut_ = 0;
  std::unordered_map<uint64_t, int64_t> last_arrival_;  // of a pair of places
  NetworkCounters counters_;
};

}  // namespace agora::sim
