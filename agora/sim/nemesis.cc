#include "agora/sim/nemesis.h"

#include <algorithm>
#include <utility>

#include "agora/base/text.h"

namespace agora::sim {

using base::concat;

namespace {

constexpr double kBurstEveryS = 5;
constexpr int64_t kClogBytesPerS = 20'000;
constexpr int64_t kSlowFactor = 20;

// A session lasts this share of the mean, about, and is twice as long in 2 of 5 cases, again and again: the
// law's tail falls with the power 1.3, its mean is the mean.
constexpr double kSessionPart = 1.0 / 3;
constexpr double kSessionMeanMaxS = 1e6;  // with all doublings still a number of nanoseconds
constexpr int kSessionDoublings = 12;

uint32_t ppm_of(double share) { return static_cast<uint32_t>(share * 1e6); }

// Who leaves when the calm begins comes back too.
void start_when_gone(World& world, Peer& peer) {
  peer.start();
  if (!peer.asked_to_leave()) return;
  world.loop().after(kSecondNs, [&world, &peer] { start_when_gone(world, peer); });
}

}  // namespace

Nemesis::Nemesis(World& world, const Scenario& scenario, Rng rng)
    : world_(world), scenario_(scenario), rng_(rng) {
  const FaultPlan& f = scenario.faults;
  on_ = {.loss = keep("loss", f.loss > 0),
         .duplicate = keep("duplicates", f.duplicate > 0),
         .reorder = keep("reordering", f.reorder > 0),
         .replay = keep("replay", f.replay > 0),
         .crash = keep("crashes", f.crash_every_s > 0),
         .gate_crash = keep("gate crashes", f.gate_crash_every_s > 0),
         .freeze = keep("freezes", f.freeze_every_s > 0),
         .partition = keep("partitions", f.partition_every_s > 0),
         .clog = keep("clogged links", f.clog_every_s > 0),
         .slow = keep("slow hosts", f.slow_every_s > 0),
         .jump = keep("clock jumps", f.clock_jump_every_s > 0),
         .leave = keep("leaving", f.leave_every_s > 0),
         .dht = keep("table down", f.dht_down_every_s > 0),
         .disk_full = keep("full disks", f.disk_full_every_s > 0),
         .disk_flip = keep("bits turned over", f.disk_flip > 0),
         .disk_torn = keep("torn writes", f.disk_torn > 0),
         .churn = keep("churn", f.churn_per_hour > 0),
         .kill = keep("many killed at once", f.kill_at_once > 0)};
}

Nemesis::~Nemesis() { end(); }

// One draw a kind, whether it is on or not: a scenario with a kind more keeps the others' fate.
bool Nemesis::keep(const char* kind, bool on) {
  const bool off = rng_.below(1'000'000) < ppm_of(scenario_.faults.off);
  if (!on || off) return false;
  kinds_on_.emplace_back(kind);
  return true;
}

void Nemesis::say(const std::string& what) {
  ++events_;
  world_.history().on_fault(world_.now_ns(), what);
}

void Nemesis::later(int64_t ns, std::function<void()> task) {
  timers_.push_back(world_.loop().after(ns, [this, task = std::move(task)] {
    if (active_) task();
  }));
}

int64_t Nemesis::around(double seconds) {
  return ns_of(seconds) / 2 +
         static_cast<int64_t>(rng_.next_u64() % static_cast<uint64_t>(ns_of(seconds) + 1));
}

void Nemesis::every(double seconds, Strike strike) {
  later(around(seconds), [this, seconds, strike] {
    (this->*strike)();
    every(seconds, strike);
  });
}

void Nemesis::begin() {
  active_ = true;
  const FaultPlan& f = scenario_.faults;
  if (on_.loss || on_.duplicate || on_.reorder || on_.replay) every(kBurstEveryS, &Nemesis::burst);
  if (on_.crash) every(f.crash_every_s, &Nemesis::crash_host);
  if (on_.gate_crash) every(f.gate_crash_every_s, &Nemesis::crash_gate);
  if (on_.freeze) every(f.freeze_every_s, &Nemesis::freeze);
  if (on_.partition) every(f.partition_every_s, &Nemesis::partition);
  if (on_.clog) every(f.clog_every_s, &Nemesis::clog);
  if (on_.slow) every(f.slow_every_s, &Nemesis::slow);
  if (on_.jump) every(f.clock_jump_every_s, &Nemesis::jump);
  if (on_.leave) every(f.leave_every_s, &Nemesis::leave);
  if (on_.dht) every(f.dht_down_every_s, &Nemesis::dht_down);
  if (on_.kill) later(ns_of(scenario_.faults_s) / 2, [this] { kill_at_once(); });
  for (Peer* host : world_.hosts()) {
    if (on_.churn) session(*host, true);
  }
  if (on_.disk_full) every(f.disk_full_every_s, &Nemesis::fill_disk);
  for (Peer* host : world_.hosts()) {
    world_.disk_of(*host)->faults.flip_ppm = on_.disk_flip ? ppm_of(f.disk_flip) : 0;
    world_.disk_of(*host)->faults.torn_ppm = on_.disk_torn ? ppm_of(f.disk_torn) : 0;
  }
}

void Nemesis::end() {
  if (!std::exchange(active_, false)) return;
  for (const base::TimerId timer : timers_) world_.loop().cancel(timer);
  timers_.clear();
  world_.network().faults = {};
  world_.network().mend_all();
  world_.dht().faults.down = false;
  for (const std::unique_ptr<Peer>& peer : world_.peers()) {
    world_.network().set_uplink(peer->place(), 0);
    if (peer->alive()) peer->process().loop->thaw();
    if (!peer->alive() && scenario_.faults.restart_after_s > 0) peer->start();
    if (peer->asked_to_leave()) start_when_gone(world_, *peer);
  }
  const auto row_ns = static_cast<int64_t>(scenario_.row_us * 1e3);
  for (Peer* host : world_.hosts()) {
    world_.settings_of(*host).times.row_ns = row_ns;
    world_.disk_of(*host)->faults = {};
  }
  world_.history().on_calm(world_.now_ns());
}

Peer* Nemesis::any_of(const std::vector<Peer*>& peers) {
  return peers.empty() ? nullptr : peers[rng_.below(static_cast<uint32_t>(peers.size()))];
}

// Two hosts at least stay alive, or the swarm has no memory but its disks.
Peer* Nemesis::living_host() {
  std::vector<Peer*> living = world_.hosts();
  std::erase_if(living, [](const Peer* peer) { return !peer->alive(); });
  return living.size() <= 2 ? nullptr : any_of(living);
}

void Nemesis::burst() {
  const auto up_to = [this](bool on, double share) { return on ? rng_.below(ppm_of(share) + 1) : 0; };
  const FaultPlan& f = scenario_.faults;
  MessageFaults& now = world_.network().faults;
  now.loss_ppm = up_to(on_.loss, f.loss);
  now.duplicate_ppm = up_to(on_.duplicate, f.duplicate);
  now.reorder_ppm = up_to(on_.reorder, f.reorder);
  now.replay_ppm = up_to(on_.replay, f.replay);
  say(concat("messages: loss ", now.loss_ppm / 10'000, " %, twice ", now.duplicate_ppm / 10'000,
             " %, out of order ", now.reorder_ppm / 10'000, " %, replayed ", now.replay_ppm / 10'000, " %"));
}

void Nemesis::crash(Peer& peer) {
  const Death death = rng_.below(2) == 0 ? Death::refused : Death::silent;
  say(concat("peer ", peer.number(),
             death == Death::silent ? ": its machine goes" : ": its process is killed"));
  peer.crash(death);
  if (scenario_.faults.restart_after_s <= 0) return;
  later(around(scenario_.faults.restart_after_s), [this, &peer] {
    world_.history().on_mended(world_.now_ns(), concat("peer ", peer.number(), ": starts again"));
    peer.start();
  });
}

void Nemesis::crash_host() {
  if (Peer* host = living_host()) crash(*host);
}

void Nemesis::crash_gate() {
  std::vector<Peer*> gates = world_.gates();
  const std::vector<Peer*> trainers = world_.trainers();
  gates.insert(gates.end(), trainers.begin(), trainers.end());
  Peer* gate = any_of(gates);
  if (gate != nullptr && gate->alive()) crash(*gate);
}

void Nemesis::freeze() {
  Peer* host = living_host();
  if (host == nullptr) return;
  say(concat("peer ", host->number(), ": freezes"));
  host->freeze(around(scenario_.faults.freeze_s));
}

void Nemesis::partition() {
  std::vector<Place> side;
  for (const std::unique_ptr<Peer>& peer : world_.peers()) {
    if (rng_.below(3) == 0) side.push_back(peer->place());
  }
  const uint32_t kind = rng_.below(3);
  say(concat("network: ", side.size(), " peers are cut off",
             kind == 1   ? ", one way"
             : kind == 2 ? ", on and off"
                         : ""));
  const uint64_t cut = world_.network().cut(
      {.from = side, .to = {}, .one_way = kind == 1, .flap_ns = kind == 2 ? around(1) : 0});
  later(around(scenario_.faults.partition_s), [this, cut] { world_.network().mend(cut); });
}

void Nemesis::clog() {
  Peer* peer = any_of(world_.hosts());
  if (peer == nullptr) return;
  say(concat("peer ", peer->number(), ": its line is clogged"));
  world_.network().set_uplink(peer->place(), kClogBytesPerS);
  later(around(scenario_.faults.clog_s), [this, peer] { world_.network().set_uplink(peer->place(), 0); });
}

void Nemesis::slow() {
  Peer* host = any_of(world_.hosts());
  if (host == nullptr) return;
  say(concat("peer ", host->number(), ": becomes slow"));
  const auto row_ns = static_cast<int64_t>(scenario_.row_us * 1e3);
  world_.settings_of(*host).times.row_ns = kSlowFactor * row_ns;
  later(around(scenario_.faults.slow_s),
        [this, host, row_ns] { world_.settings_of(*host).times.row_ns = row_ns; });
}

void Nemesis::jump() {
  Peer* peer = any_of(world_.hosts());
  if (peer == nullptr || !peer->alive()) return;
  const int64_t ns = around(scenario_.faults.clock_jump_s) / 2;
  say(concat("peer ", peer->number(), ": its clock jumps by ", ns / kMillisecondNs, " ms"));
  peer->process().loop->jump(ns);
}

void Nemesis::leave() {
  Peer* host = living_host();
  if (host == nullptr || host->asked_to_leave()) return;
  say(concat("peer ", host->number(), ": leaves"));
  host->leave();
  later(around(2 * scenario_.faults.restart_after_s + 1), [host] { host->start(); });
}

void Nemesis::fill_disk() {
  Peer* host = any_of(world_.hosts());
  if (host == nullptr) return;
  say(concat("peer ", host->number(), ": its disk is full"));
  SimDisk* disk = world_.disk_of(*host);
  disk->faults.full = true;
  later(around(scenario_.faults.disk_full_s), [disk] { disk->faults.full = false; });
}

// It stays for a while, crashes, comes back as crashed hosts do, and again. Who is there at the start is
// somewhere in a session, which is more likely a long one.
void Nemesis::session(Peer& host, bool begun) {
  const double mean_s = std::min(3600 / scenario_.faults.churn_per_hour, kSessionMeanMaxS);
  int64_t ns = around(mean_s * kSessionPart);
  for (int i = 0; i < kSessionDoublings && rng_.below(5) < (begun ? 4u : 2u); ++i) ns *= 2;
  if (begun) ns = static_cast<int64_t>(rng_.next_u64() % static_cast<uint64_t>(ns));
  later(ns, [this, &host] {
    if (host.alive() && living_host() != nullptr) crash(host);
    session(host, false);
  });
}

void Nemesis::kill_at_once() {
  const std::vector<Peer*> hosts = world_.hosts();
  const auto wanted = static_cast<size_t>(scenario_.faults.kill_at_once * static_cast<double>(hosts.size()));
  for (size_t killed = 0; killed < wanted; ++killed) crash_host();
}

void Nemesis::dht_down() {
  say("the hash table is down");
  world_.dht().faults.down = true;
  later(around(scenario_.faults.dht_down_s), [this] { world_.dht().faults.down = false; });
}

}  // namespace agora::sim
