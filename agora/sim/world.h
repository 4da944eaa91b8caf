// A whole swarm in one thread and one virtual time: places, a network, a table of records, and peers.
//
//   World world({.seed = 7, .latency = Latency::home()}, history);
//   for (int i = 0; i < 5; ++i) world.add_host({}).start();
//   world.add_gate({.callers = 2}).start();
//   world.run_for(60 * kSecondNs);      // at once
//
// The same seed gives the same run, event by event, on every machine: the only source of chance is rng(), and
// nothing that orders events depends on addresses, hashes or real time. Peers are borrowed until the world
// goes; it stops callers and ends every peer then. One thread.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "agora/base/thread_pool.h"
#include "agora/kernels/table.h"
#include "agora/kernels/workspace.h"
#include "agora/sim/disk.h"
#include "agora/sim/gate_role.h"
#include "agora/sim/history.h"
#include "agora/sim/host_role.h"
#include "agora/sim/network.h"
#include "agora/sim/peer.h"
#include "agora/sim/trainer_role.h"
#include "agora/swarm/spec.h"

namespace agora::sim {

struct WorldSettings {
  uint64_t seed = 1;
  Latency latency = Latency::lan();
  swarm::SwarmSpec spec = {};       // see small_spec()
  int32_t clock_drift_ppm_max = 0;  // of each peer's clock, drawn for each
  int64_t clock_offset_ns_max = 0;  // likewise
};

// A swarm of tiny experts: L layers of E, D = 8, whose sums can be checked and whose steps cost nothing.
swarm::SwarmSpec small_spec(int64_t layers, int64_t experts, int32_t replicas);

class World {
 public:
  // history outlives the world. CHECKs the specification.
  World(const WorldSettings& settings, History& history);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Peer& add_host(const HostSettings& settings);
  Peer& add_gate(const GateSettings& settings);
  Peer& add_trainer(const TrainerSettings& settings);  // the specification is trained_spec()'s
  // A role of somebody else's making.
  Peer& add_peer(const Peer::MakeRole& make_role);

  void run_for(int64_t ns) { loop_.run_for(ns); }
  int64_t now_ns() const { return loop_.now_ns(); }
  base::VirtualLoop& loop() { return loop_; }  // for what the world itself does: faults, looks
  Rng& rng() { return rng_; }
  Network& network() { return network_; }
  peers::SimulatedDhtNetwork& dht() { return dht_; }
  History& history() { return history_; }
  Fibers& fibers() { return fibers_; }
  const swarm::SwarmSpec& spec() const { return spec_; }
  const peers::SwarmId& swarm() const { return swarm_; }
  const moe::Compute& compute() const { return compute_; }
  const std::shared_ptr<Switchboard>& switchboard() { return switchboard_; }
  const std::shared_ptr<peers::RecordReader>& reader() { return reader_; }

  const std::vector<std::unique_ptr<Peer>>& peers() const { return peers_; }
  std::vector<Peer*> hosts() const;  // dead ones too
  std::vector<Peer*> gates() const;
  std::vector<Peer*> trainers() const;
  HostSettings& settings_of(const Peer& host);  // may be changed under way: see HostRole
  GateSettings& gate_settings_of(const Peer& gate);
  SimDisk* disk_of(const Peer& peer) { return disks_.at(peer.number()).get(); }  // null: not a host
  // A few places to begin at, for who joins: living peers, not itself.
  std::vector<peers::Endpoint> doors(const Peer& joining);

  // No gate asks and no trainer trains any more; false: somebody still waits after so long.
  bool stop_gates(int64_t within_ns);

 private:
  enum class Kind : uint8_t { host, gate, trainer, other };
  std::vector<Peer*> of(Kind kind) const;

  base::VirtualLoop loop_;
  Fibers fibers_;
  Rng rng_;
  History& history_;
  const swarm::SwarmSpec spec_;
  const peers::SwarmId swarm_;
  const WorldSettings settings_;
  Network network_;
  std::shared_ptr<Switchboard> switchboard_;
  peers::SimulatedDhtNetwork dht_;
  std::shared_ptr<peers::RecordReader> reader_;
  base::ThreadPool pool_{1};
  kernels::Workspace workspace_;
  moe::Compute compute_;
  std::vector<Kind> kinds_;
  std::vector<std::shared_ptr<HostSettings>> host_settings_;  // by peer; null: not a host
  std::vector<std::shared_ptr<GateSettings>> gate_settings_;
  std::vector<std::shared_ptr<SimDisk>> disks_;
  std::vector<std::unique_ptr<Peer>> peers_;
};

}  // namespace agora::sim
