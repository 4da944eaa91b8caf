// Which peers a directory talks to: a few that it chose, a few that chose it, changed a little all the time.
//
//   Contacts contacts;   contacts.choose(peer);   contacts.on_called_by(peer);   contacts.drop(peer);
//   for (const PeerId& peer : contacts.draw(3, rng)) push(peer);
//
// A random graph of degree four to twelve is connected, passes news to 200 peers in three to five steps, and
// costs a peer the same in a swarm of any size. A peer that comes needs two at once and waits for others to
// call it before it wants more: a connection costs both sides milliseconds. Pure state. One thread at a time.
#pragma once

#include <cstddef>
#include <vector>

#include "agora/base/rng.h"
#include "agora/peers/peer_id.h"

namespace agora::peers {

class Contacts {
 public:
  // Two of our own choice, so that callers alone never decide what we hear; more only while few call.
  static constexpr size_t kChosenMin = 2;
  static constexpr size_t kChosenMax = 4;
  static constexpr size_t kEnough = 5;
  static constexpr size_t kCallersMax = 8;

  bool needs_more() const { return chosen_.size() < kChosenMin; }
  bool wants_more() const {
    return needs_more() || (chosen_.size() < kChosenMax && chosen_.size() + callers_.size() < kEnough);
  }
  bool empty() const { return chosen_.empty() && callers_.empty(); }
  bool has(const PeerId& peer) const;

  void choose(const PeerId& peer);        // nothing happens when it is one already, or there are kChosenMax
  void on_called_by(const PeerId& peer);  // the caller that was silent for longest makes room
  void drop(const PeerId& peer);          // it failed, left, or expired
  void drop_oldest_chosen();              // so that the graph is never the same for long

  std::vector<PeerId> all() const;
  std::vector<PeerId> draw(size_t count, Rng& rng) const;  // different ones, fewer when there are fewer

 private:
  std::vector<PeerId> chosen_;   // oldest first
  std::vector<PeerId> callers_;  // silent for longest first; none of them chosen
};

}  // namespace agora::peers
