#include "agora/sim/peer.h"

#include <utility>

#include "agora/base/text.h"
#include "agora/sim/world.h"

namespace agora::sim {
namespace {

constexpr int64_t kPublishNs = kSecondNs;  // as a node does
constexpr uint16_t kPort = 4700;
constexpr uint64_t kSequencesALife = 1'000'000'000;  // a restarted peer's records are fresher

// 10.0.0.0/8 has room for 16 million.
peers::Endpoint endpoint_of(PeerNumber number) {
  return {base::concat("10.", number >> 16 & 0xff, ".", number >> 8 & 0xff, ".", number & 0xff), kPort};
}

}  // namespace

Peer::Peer(World& world, PeerNumber number, MakeRole make_role)
    : world_(world),
      number_(number),
      place_(world.network().add_place()),
      endpoint_(endpoint_of(number)),
      signer_(std::make_shared<const peers::SimulatedSigner>(number)),
      make_role_(std::move(make_role)) {}

// Says nothing: whoever listens may have gone before the world.
Peer::~Peer() {
  if (!alive()) return;
  process_->transport->crash(Death::silent);
  end();
}

void Peer::tell(LifeFact::Kind kind) {
  LifeFact fact;
  fact.at_ns = world_.now_ns();
  fact.peer = number_;
  fact.life = life_;
  fact.kind = kind;
  world_.history().on_life(fact);
}

void Peer::start() {
  if (alive()) return;
  ++life_;
  asked_to_leave_ = leaving_ = false;
  auto loop = std::make_shared<PeerLoop>(world_.loop(), world_.fibers(), clock);
  Rng rng = world_.rng().fork("peer").fork(number_).fork(life_);
  process_ = std::make_unique<Process>(Process{.loop = loop,
                                               .transport = nullptr,
                                               .dht = nullptr,
                                               .directory = nullptr,
                                               .teller = Teller(world_.history(), loop, number_, life_),
                                               .rng = rng});
  Process& p = *process_;
  p.transport = std::make_unique<SimTransport>(world_.switchboard(), loop, id(), endpoint_, place_);
  p.dht = std::make_unique<peers::SimulatedDht>(world_.dht());
  p.directory = peers::SwarmDirectory::create(
      {.swarm = world_.swarm(),
       .endpoint = endpoint_,
       .first_sequence = life_ * kSequencesALife,
       .seed = p.rng.next_u64(),
       .matters_to_all = [](const peers::Record& record) { return swarm::matters_to_all(record.body); }},
      signer_, *loop, *p.transport, *p.dht, world_.reader());
  role_ = make_role_(p);
  tell(LifeFact::Kind::started);
  for (const peers::Endpoint& door : world_.doors(*this)) p.directory->join(door);
  loop->post([this] { publish(); });
}

void Peer::publish() {
  if (leaving_) return;
  swarm::PeerState state;
  role_->describe(state);
  process_->directory->publish(swarm::encode(state));
  process_->loop->after(kPublishNs, [this] { publish(); });
}

void Peer::crash(Death death) {
  if (!alive()) return;
  tell(LifeFact::Kind::crashed);
  process_->transport->crash(death);
  end();
  SimDisk* disk = world_.disk_of(*this);
  if (death == Death::silent && disk != nullptr) disk->power_off();
}

// First the transport, so that every call has its reply; then time is over and callers go home.
void Peer::end() {
  process_->transport->stop();
  process_->loop->kill();
  role_.reset();
  process_->directory.reset();
  process_->dht.reset();
  process_.reset();
}

void Peer::leave() {
  if (!alive() || std::exchange(asked_to_leave_, true)) return;
  const auto gone = [this, life = life_] {
    world_.loop().post([this, life] {
      if (!alive() || life_ != life) return;
      tell(LifeFact::Kind::left);
      end();
    });
  };
  process_->loop->post([this, gone] {
    role_->leave([this, gone] {
      leaving_ = true;  // its last record is the directory's
      process_->directory->leave(gone);
    });
  });
  world_.loop().after(kLeaveNsMax, [this, life = life_] {
    if (alive() && life_ == life) crash(Death::refused);
  });
}

void Peer::freeze(int64_t ns) {
  if (!alive()) return;
  tell(LifeFact::Kind::frozen);
  process_->loop->freeze_until(world_.now_ns() + ns);
}

}  // namespace agora::sim
