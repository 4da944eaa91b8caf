#include "agora/peers/directory/simulated_dht.h"

#include <algorithm>

namespace agora::peers {

bool SimulatedDht::reaches() {
  return !network_.faults.down && network_.rng.uniform_double() >= network_.faults.lost;
}

void SimulatedDht::join(const Endpoint&) {}

void SimulatedDht::announce(const SwarmId& swarm, const Endpoint& self) {
  if (!reaches()) return;
  network_.announced[{swarm, self}] = network_.loop.now_ns() + SimulatedDhtNetwork::kKeptNs;
}

void SimulatedDht::put(const SwarmId& swarm, const Endpoint& at, std::vector<std::byte> bytes) {
  if (!reaches()) return;
  network_.items[{swarm, at}] = {std::move(bytes), network_.loop.now_ns() + SimulatedDhtNetwork::kKeptNs};
}

void SimulatedDht::find(const SwarmId& swarm, Found found) {
  if (!reaches()) return;
  const auto answer = [&network = network_, swarm, alive = std::weak_ptr<bool>(alive_), found] {
    if (alive.expired()) return;
    std::vector<Endpoint> endpoints;
    for (auto at = network.announced.lower_bound({swarm, {}}); at != network.announced.end();) {
      if (at->first.first != swarm) break;
      const bool old = at->second <= network.loop.now_ns();
      if (!old) endpoints.push_back(at->first.second);
      at = old ? network.announced.erase(at) : std::next(at);
    }
    for (size_t i = 0; i + 1 < endpoints.size() && i < SimulatedDhtNetwork::kFoundMax; ++i) {
      const auto rest = static_cast<uint32_t>(endpoints.size() - i);
      std::swap(endpoints[i], endpoints[i + network.rng.below(rest)]);
    }
    endpoints.resize(std::min(endpoints.size(), SimulatedDhtNetwork::kFoundMax));
    found(endpoints);
  };
  network_.loop.after(network_.faults.delay_ns, answer);
}

void SimulatedDht::get(const SwarmId& swarm, const Endpoint& at, Got got) {
  const bool answered = reaches();
  const auto answer = [&network = network_, key = std::pair(swarm, at), answered,
                       alive = std::weak_ptr<bool>(alive_), got] {
    if (alive.expired()) return;
    const auto item = network.items.find(key);
    const bool there =
        answered && item != network.items.end() && item->second.until_ns > network.loop.now_ns();
    got(there ? item->second.bytes : std::vector<std::byte>());
  };
  network_.loop.after(network_.faults.delay_ns, answer);
}

}  // namespace agora::peers
