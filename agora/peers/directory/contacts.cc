#include "agora/peers/directory/contacts.h"

#include <algorithm>

namespace agora::peers {
namespace {

bool holds(const std::vector<PeerId>& peers, const PeerId& peer) {
  return std::find(peers.begin(), peers.end(), peer) != peers.end();
}

}  // namespace

bool Contacts::has(const PeerId& peer) const { return holds(chosen_, peer) || holds(callers_, peer); }

void Contacts::choose(const PeerId& peer) {
  if (chosen_.size() >= kChosenMax || holds(chosen_, peer)) return;
  std::erase(callers_, peer);
  chosen_.push_back(peer);
}

void Contacts::on_called_by(const PeerId& peer) {
  if (holds(chosen_, peer)) return;
  std::erase(callers_, peer);
  callers_.push_back(peer);
  if (callers_.size() > kCallersMax) callers_.erase(callers_.begin());
}

void Contacts::drop(const PeerId& peer) {
  std::erase(chosen_, peer);
  std::erase(callers_, peer);
}

void Contacts::drop_oldest_chosen() {
  if (!chosen_.empty()) chosen_.erase(chosen_.begin());
}

std::vector<PeerId> Contacts::all() const {
  std::vector<PeerId> peers = chosen_;
  peers.insert(peers.end(), callers_.begin(), callers_.end());
  return peers;
}

std::vector<PeerId> Contacts::draw(size_t count, Rng& rng) const {
  std::vector<PeerId> peers = all();
  count = std::min(count, peers.size());
  for (size_t i = 0; i < count; ++i) {
    std::swap(peers[i], peers[i + rng.below(static_cast<uint32_t>(peers.size() - i))]);
  }
  peers.resize(count);
  return peers;
}

}  // namespace agora::peers
