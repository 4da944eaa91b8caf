// A distributed hash table without a network: tests and the simulator. All nodes of one SimulatedDhtNetwork
// are on one loop and see the same table; answers take a while, get lost, or do not come at all, as the
// network is set.
//
//   SimulatedDhtNetwork network(loop, seed);   SimulatedDht a(network), b(network);
//   network.faults.down = true;
//
// Joining is not simulated: every node is part of the table from the start. On the loop.
// The network outlives its nodes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "agora/base/loop.h"
#include "agora/base/rng.h"
#include "agora/peers/directory/dht.h"

namespace agora::peers {

struct DhtFaults {
  bool down = false;  // nothing is stored, nothing is answered but "nobody has one"
  double lost = 0;    // share of requests that are as if the table were down
  int64_t delay_ns = 20 * base::kMillisecondNs;
};

struct SimulatedDhtNetwork {
  SimulatedDhtNetwork(base::Loop& its_loop, uint64_t seed) : loop(its_loop), rng(seed) {}

  static constexpr size_t kFoundMax = 100;                   // endpoints in one answer, drawn at random
  static constexpr int64_t kKeptNs = 120 * base::kSecondNs;  // then an announcement or a record is forgotten

  struct Item {
    std::vector<std::byte> bytes;
    int64_t until_ns = 0;
  };

  base::Loop& loop;
  Rng rng;
  DhtFaults faults;
  std::map<std::pair<SwarmId, Endpoint>, int64_t> announced;  // until when
  std::map<std::pair<SwarmId, Endpoint>, Item> items;
};

class SimulatedDht final : public Dht {
 public:
  explicit SimulatedDht(SimulatedDhtNetwork& network) : network_(network) {}

  void join(const Endpoint& peer) override;
  void announce(const SwarmId& swarm, const Endpoint& self) override;
  void find(const SwarmId& swarm, Found found) override;
  void put(const SwarmId& swarm, const Endpoint& at, std::vector<std::byte> bytes) override;
  void get(const SwarmId& swarm, const Endpoint& at, Got got) override;

 private:
  bool reaches();  // this request gets through

  SimulatedDhtNetwork& network_;
  std::shared_ptr<bool> alive_ =
      std::make_shared<bool>(true);  // false for callbacks that come after the node
};

}  // namespace agora::peers
