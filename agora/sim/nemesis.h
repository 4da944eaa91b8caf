// Who makes the faults of a run: events at random times, of the kinds that are on, ended again later.
//
//   Nemesis nemesis(world, scenario, world.rng().fork("nemesis"));
//   nemesis.begin(faults_ns);   world.run_for(faults_ns);   nemesis.end();   // from now on nothing is wrong
//
// It forces what rarely happens by itself: a host that has just been seen to lead is as likely a victim as
// any. end() mends, thaws and restarts everything at once. One thread, on the world's loop.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "agora/sim/scenario.h"
#include "agora/sim/world.h"

namespace agora::sim {

class Nemesis {
 public:
  // Draws which kinds are off in this run. All are borrowed.
  Nemesis(World& world, const Scenario& scenario, Rng rng);
  ~Nemesis();

  void begin();
  void end();
  const std::vector<std::string>& kinds_on() const { return kinds_on_; }
  uint64_t events() const { return events_; }

 private:
  using Strike = void (Nemesis::*)();

  bool keep(const char* kind, bool on);
  void every(double seconds, Strike strike);
  void later(int64_t ns, std::function<void()> task);
  int64_t around(double seconds);  // half to one and a half of it
  Peer* any_of(const std::vector<Peer*>& peers);
  Peer* living_host();
  void say(const std::string& what);

  void burst();
  void crash_host();
  void crash_gate();
  void crash(Peer& peer);
  void freeze();
  void partition();
  void clog();
  void slow();
  void jump();
  void leave();
  void session(Peer& host, bool begun);
  void kill_at_once();
  void dht_down();
  void fill_disk();

  World& world_;
  const Scenario& scenario_;
  Rng rng_;
  bool active_ = false;
  uint64_t events_ = 0;
  std::vector<std::string> kinds_on_;
  struct Kinds {
    bool loss, duplicate, reorder, replay, crash, gate_crash, freeze, partition, clog, slow, jump, leave, dht,
        disk_full, disk_flip, disk_torn, churn, kill;
  } on_;
  std::vector<base::TimerId> timers_;
};

}  // namespace agora::sim
