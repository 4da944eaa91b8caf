// What a peer saw of its swarm lately, for people: curves of loss and of rows/s, and a list of events.
//
//   Chronicle chronicle;
//   chronicle.note(status, seconds);        // every second or so, seconds never going back
//   page["history"] = chronicle.history_json();   page["events"] = chronicle.events_json();
//
// Bounded whatever the others do: a curve that is full keeps every second point and grows half as fast.
// Pure: no clock, no network. One thread at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "apps/dashboard/peer_status.h"

namespace agora::dashboard {

class Chronicle {
 public:
  static constexpr size_t kPointsMax = 600;
  static constexpr size_t kCurvesMax = 64;   // trainers; of more, who went first makes room
  static constexpr size_t kEventsMax = 100;  // the oldest go

  void note(const PeerStatus& status, double seconds);

  // {"at_s": [...], "rows_per_s": [...], "losses": [{"peer", "loss": [number or null, ...]}]}
  nlohmann::ordered_json history_json() const;
  // [{"at_s", "peer", "what"}], the latest first; of the whole swarm: peer is "".
  nlohmann::ordered_json events_json() const;

 private:
  static constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

  struct Seen {  // of a peer, when it was noted last
    std::string roles;
    int64_t led = 0;
    int64_t led_told = 0;  // as the last event said
  };
  struct Event {
    double seconds;
    std::string peer;
    std::string what;
  };

  void note_events(const PeerStatus& status, double seconds);
  void note_coverage(const PeerStatus& status, double seconds);
  void note_curves(const PeerStatus& status, double seconds);
  void note_loss(const PeerEntry& entry);
  void thin();
  void add_event(double seconds, std::string peer, std::string what);

  double point_every_s_ = 0;
  std::vector<double> at_s_;
  std::vector<double> rows_per_s_;
  std::map<peers::PeerId, std::vector<float>> losses_;  // each as long as at_s_; kNone: it had none then
  std::map<peers::PeerId, Seen> seen_;                  // as many as a status lists
  int64_t without_leader_ = 0;
  std::deque<Event> events_;
};

}  // namespace agora::dashboard
