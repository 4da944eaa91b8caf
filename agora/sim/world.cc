#include "agora/sim/world.h"

#include <algorithm>
#include <utility>

#include "agora/base/check.h"
#include "agora/kernels/reference/table.h"

namespace agora::sim {
namespace {

constexpr size_t kDoors = 3;

}  // namespace

swarm::SwarmSpec small_spec(int64_t layers, int64_t experts, int32_t replicas) {
  swarm::SwarmSpec spec;
  spec.name = "simulated";
  spec.layers = layers;
  spec.experts = experts;
  spec.experts_max = experts + 2;
  spec.shape = {.d = 8, .h = 8, .deviation = 0.3f, .deviation_down = 0.3f};
  spec.bf16 = false;
  spec.replicas = replicas;
  spec.rows_per_step = 16;
  return spec;
}

World::World(const WorldSettings& settings, History& history)
    : rng_(settings.seed),
      history_(history),
      spec_(settings.spec),
      swarm_(spec_.id()),
      settings_(settings),
      network_(loop_, rng_.fork("network"), settings.latency),
      switchboard_(std::make_shared<Switchboard>(loop_, network_)),
      dht_(loop_, rng_.fork("dht").next_u64()),
      reader_(std::make_shared<peers::SimulatedReader>()) {
  AGORA_CHECK(swarm::validate(spec_).ok());
  // The plain kernels: bit for bit the same on every machine.
  static const kernels::Table table = kernels::reference::table();
  compute_ = {&table, &pool_, kernels::Precision::f32, &workspace_};
}

World::~World() {
  for (std::unique_ptr<Peer>& peer : peers_) peer.reset();
}

Peer& World::add_peer(const Peer::MakeRole& make_role) {
  kinds_.push_back(Kind::other);
  host_settings_.push_back(nullptr);
  gate_settings_.push_back(nullptr);
  disks_.push_back(nullptr);
  peers_.push_back(std::make_unique<Peer>(*this, static_cast<PeerNumber>(peers_.size()), make_role));
  Peer& peer = *peers_.back();
  Rng draws = rng_.fork("clock").fork(peer.number());
  if (settings_.clock_drift_ppm_max > 0) {
    const auto span = static_cast<uint32_t>(2 * settings_.clock_drift_ppm_max + 1);
    peer.clock.drift_ppm = static_cast<int32_t>(draws.below(span)) - settings_.clock_drift_ppm_max;
  }
  if (settings_.clock_offset_ns_max > 0) {
    peer.clock.offset_ns =
        static_cast<int64_t>(draws.next_u64() % static_cast<uint64_t>(settings_.clock_offset_ns_max));
  }
  return peer;
}

Peer& World::add_host(const HostSettings& settings) {
  auto own = std::make_shared<HostSettings>(settings);
  auto disk = std::make_shared<SimDisk>(rng_.fork("disk").fork(peers_.size()));
  own->options.folder = "experts";
  own->options.files = disk;
  Peer& peer = add_peer(
      [this, own](Process& process) { return std::make_unique<HostRole>(process, spec_, compute_, *own); });
  kinds_.back() = Kind::host;
  host_settings_.back() = std::move(own);
  disks_.back() = std::move(disk);
  return peer;
}

Peer& World::add_gate(const GateSettings& settings) {
  auto own = std::make_shared<GateSettings>(settings);
  Peer& peer =
      add_peer([this, own](Process& process) { return std::make_unique<GateRole>(process, spec_, *own); });
  kinds_.back() = Kind::gate;
  gate_settings_.back() = std::move(own);
  return peer;
}

Peer& World::add_trainer(const TrainerSettings& settings) {
  auto own = std::make_shared<const TrainerSettings>(settings);
  Peer& peer = add_peer([this, own](Process& process) {
    return std::make_unique<TrainerRole>(process, spec_, compute_, *own);
  });
  kinds_.back() = Kind::trainer;
  return peer;
}

std::vector<Peer*> World::of(Kind kind) const {
  std::vector<Peer*> all;
  for (size_t i = 0; i < peers_.size(); ++i) {
    if (kinds_[i] == kind) all.push_back(peers_[i].get());
  }
  return all;
}

std::vector<Peer*> World::hosts() const { return of(Kind::host); }
std::vector<Peer*> World::gates() const { return of(Kind::gate); }
std::vector<Peer*> World::trainers() const { return of(Kind::trainer); }

HostSettings& World::settings_of(const Peer& host) { return *host_settings_.at(host.number()); }
GateSettings& World::gate_settings_of(const Peer& gate) { return *gate_settings_.at(gate.number()); }

std::vector<peers::Endpoint> World::doors(const Peer& joining) {
  std::vector<peers::Endpoint> doors;
  const auto try_door = [&](const Peer& peer) {
    if (&peer != &joining && peer.alive() && std::ranges::find(doors, peer.endpoint()) == doors.end()) {
      doors.push_back(peer.endpoint());
    }
  };
  for (size_t tries = 0; tries < 4 * kDoors && doors.size() < kDoors; ++tries) {
    try_door(*peers_[rng_.below(static_cast<uint32_t>(peers_.size()))]);
  }
  // Where most are dead: who has no door at all would begin a swarm of its own.
  for (size_t i = 0; i < peers_.size() && doors.empty(); ++i) try_door(*peers_[i]);
  return doors;
}

bool World::stop_gates(int64_t within_ns) {
  std::vector<Peer*> asking = gates();
  for (Peer* trainer : trainers()) asking.push_back(trainer);
  std::erase_if(asking, [](const Peer* peer) { return !peer->alive(); });
  for (Peer* peer : asking) peer->role().stop_callers();
  const int64_t until_ns = now_ns() + within_ns;
  const auto waiting = [&] {
    return std::ranges::any_of(
        asking, [](Peer* peer) { return peer->alive() && peer->process().loop->callers() > 0; });
  };
  while (waiting() && now_ns() < until_ns) run_for(100 * kMillisecondNs);
  return !waiting();
}

}  // namespace agora::sim
