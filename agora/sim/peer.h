// One simulated peer: a place on the network, and the process that runs there now, if one does.
//
//   Peer& host = world.add_host({...});   host.start();   host.crash(Death::silent);   host.start();
//   host.leave([] { ... });                                        // hands over, says goodbye, ends
//
// Everything in a process is production code on simulated loops: transport, directory, and a role
// (host_role.h, gate_role.h). A restarted peer keeps its key, its endpoint and its disk. On the world's loop,
// outside of tasks of the peer itself. One thread.
#pragma once

#include <functional>
#include <memory>

#include "agora/peers/directory/simulated_dht.h"
#include "agora/peers/directory/simulated_records.h"
#include "agora/peers/directory/swarm_directory.h"
#include "agora/sim/history.h"
#include "agora/sim/sim_experts.h"
#include "agora/sim/transport.h"
#include "agora/swarm/peer_state.h"

namespace agora::sim {

class World;

// What every process has. Made and destroyed with it, in this order and back.
struct Process {
  std::shared_ptr<PeerLoop> loop;
  std::unique_ptr<SimTransport> transport;
  std::unique_ptr<peers::SimulatedDht> dht;
  std::shared_ptr<peers::SwarmDirectory> directory;
  Teller teller;
  Rng rng;  // of this life
};

class HostRole;
class GateRole;
class TrainerRole;

class PeerRole {
 public:
  virtual ~PeerRole() = default;
  virtual void describe(swarm::PeerState& state) const = 0;
  virtual void leave(std::function<void()> done) = 0;  // on the loop
  virtual void stop_callers() {}                       // they end soon; see PeerLoop::callers()
  virtual HostRole* as_host() { return nullptr; }
  virtual GateRole* as_gate() { return nullptr; }
  virtual TrainerRole* as_trainer() { return nullptr; }
};

class Peer {
 public:
  using MakeRole = std::function<std::unique_ptr<PeerRole>(Process&)>;

  Peer(World& world, PeerNumber number, MakeRole make_role);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  void start();
  void crash(Death death);
  void leave();  // in the background, once; crashes if it takes more than kLeaveNsMax
  void freeze(int64_t ns);

  PeerNumber number() const { return number_; }
  Place place() const { return place_; }
  const peers::Endpoint& endpoint() const { return endpoint_; }
  peers::PeerId id() const { return peers::peer_id_of(signer_->public_key()); }
  uint32_t life() const { return life_; }
  bool alive() const { return process_ != nullptr; }
  bool asked_to_leave() const { return asked_to_leave_; }  // in this life
  bool leaving() const { return leaving_; }                // it has handed over, and says so

  PeerClock clock;  // of the next life

  // Of a living one.
  Process& process() { return *process_; }
  HostRole* host() { return role_ == nullptr ? nullptr : role_->as_host(); }
  GateRole* gate() { return role_ == nullptr ? nullptr : role_->as_gate(); }
  TrainerRole* trainer() { return role_ == nullptr ? nullptr : role_->as_trainer(); }
  PeerRole& role() { return *role_; }

 private:
  void publish();
  void end();
  void tell(LifeFact::Kind kind);

  static constexpr int64_t kLeaveNsMax = 90 * kSecondNs;

  World& world_;
  const PeerNumber number_;
  const Place place_;
  const peers::Endpoint endpoint_;
  const std::shared_ptr<const peers::Signer> signer_;
  MakeRole make_role_;
  uint32_t life_ = 0;
  bool asked_to_leave_ = false, leaving_ = false;
  std::unique_ptr<Process> process_;
  std::unique_ptr<PeerRole> role_;
};

}  // namespace agora::sim
