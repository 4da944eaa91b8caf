// A host's life: what it holds, leads, copies and keeps on disk, from the first adoption to the last
// hand-over.
//
//   ThreadLoop loop("agora-peer"), compute("agora-compute"), disk("agora-disk");
//   Executor executor(compute);
//   AGORA_ASSIGN_OR_RETURN(auto store, ExpertStore::create(pool, spec));
//   Host host(loop, executor, disk, transport, directory, *store, spec, {.folder = "state/experts"});
//   HostService service(transport, executor, *store, spec, {});      // the mixture's calls
//   node.contribute([&](PeerState& state, ...) { host.describe(state); });       // every second, on the loop
//   host.leave([] { ... });   // hands over what it leads; then directory.leave()
//
// Every decision is a state machine's: Placement (what to hold), Leadership (who leads), both fed by Holders
// from the directory's records. This is the thin part between them and the world:
//
//   every second    asks the held experts for versions and loads, then Placement for a round
//   every second    asks each leader that it follows what it has: one small call a leader, which is also how
//                   a dead one is noticed before its record expires: the call waits as long as the leader's
//                   own slow answers suggest, and is made again at once, probe_failures_max times. Answers
//                   that this host itself was too late to see count for nothing
//   on a difference pulls the expert's snapshot: at the latest loss_window / 2 after the leader moved, so
//                   that a leader's death loses at most loss_window of updates, if the line carries that
//   every save_ns   writes what has moved to disk, one expert after the other, and what is retired
//
// An expert that nobody holds any more comes back from somebody's disk if there is one within
// orphan_grace_ns, else from its first weights: counted as lost. Not while fewer than half of the hosts of
// the last ten minutes are in sight: then it is this host that is lost. A leader that leaves or is ranked
// worse than a follower hands over: it takes no updates while the other pulls its last snapshot and begins to
// lead, so none is lost. Meanwhile those who only follow wait for their snapshots: half a loss window, then
// it is their turn. Of a host that leaves they wait as long as last snapshots move: if it is killed before it
// has left, the updates since a follower's last pull are lost, of leave_ns_max and loss_window / 2 at most.
//
// A person may add an expert (kAddExpert): this host leads it from then on, placement makes replicas, gates
// let it in (growth.h). What is retired (kRetireExpert) is said in the record, which others pass on, and let
// go after retire_grace_ns. It is kept on disk: a swarm whose hosts all start again has not forgotten it.
//
// A host that has stood still (SIGSTOP, a machine that slept) wakes up with old records and old weights, one
// that was started again with those of its disk: it claims nothing for a while, hears who leads by now, and
// follows.
//
// Threads: the constructor, describe() and leave() on the loop, or before it runs. Everything given outlives
// it, but the transport is stopped before it goes. status(): any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agora/base/loop.h"
#include "agora/peers/directory/directory.h"
#include "agora/peers/transport/transport.h"
#include "agora/swarm/host/executor.h"
#include "agora/swarm/host/held_experts.h"
#include "agora/swarm/host/leadership.h"
#include "agora/swarm/peer_state.h"
#include "agora/swarm/placement/placement.h"
#include "agora/swarm/spec.h"
#include "agora/weights/files.h"

namespace agora::swarm {

struct HostOptions {
  int32_t experts_max = 1000;                  // that it holds: its room
  std::vector<ExpertName> hold = {};           // not empty: these, led from the start, and no others ever
  std::string folder = {};                     // of snapshots; empty: nothing is kept
  std::shared_ptr<weights::Files> files = {};  // where the folder is; null: on the machine's disk
  // What an expert begins with where nobody has it: a saved swarm's snapshot (SwarmFolder). NotFound, or no
  // function: its first weights; another error: it does not begin, and is asked for again. Runs on the disk's
  // loop.
  std::function<StatusOr<std::vector<std::byte>>(ExpertName)> first = {};

  // Of a swarm that goes on from a saved one: experts beyond the first ones, and numbers not given again.
  std::vector<ExpertName> added = {}, retired = {};
  bool gates_close = true;  // false: they can not leave an expert out, so none is retired

  int64_t round_ns = 1'000'000'000;
  int64_t probe_ns = 1'000'000'000;  // at most half the loss window
  int probe_failures_max = 3;
  int64_t save_ns = 30'000'000'000;
  int64_t orphan_grace_ns = 8'000'000'000;
  // A retired expert goes on answering for so long: gates close it when they hear of it, and answers that are
  // under way keep the trunk that they began with.
  int64_t retire_grace_ns = 30'000'000'000;
  int64_t newcomer_ns = 120'000'000'000;  // how long it is said whose copy an added expert is
  // Of one expert, beside what its snapshot takes at 1 MiB/s: the host that it is for has to come for it.
  int64_t hand_over_ns_max = 15'000'000'000;
  int64_t leave_ns_max = 60'000'000'000;  // of all; what is led then is saved to disk and gone
  size_t pulls_max = 4;                   // at once
  size_t hand_overs_max = 4;              // likewise
  // Of snapshots that are being fetched from here; more fetchers wait. One has at most a quarter of these
  // two, or one copy.
  int32_t copies_max = 64;
  size_t copies_bytes_max = size_t{512} << 20;  // likewise; the one that reaches it has room
  LeadershipConfig leadership = {};
  int64_t settle_ns = 2'000'000'000;  // see PlacementConfig, which also has these
  int64_t patience_ns = 3'000'000'000;
  int64_t tidy_ns = 10'000'000'000;
  uint64_t seed = 1;  // of jitter
};

struct HostStatus {
  int64_t held = 0, led = 0, not_ready = 0;
  int64_t copies = 0;  // of snapshots that are being fetched from here
  uint64_t adopted = 0, dropped = 0;
  uint64_t led_new = 0;  // leaderships that began here
  uint64_t stepped_down = 0;
  uint64_t handed_over = 0, hand_overs_failed = 0;
  uint64_t pulls = 0, pulls_failed = 0, bytes_pulled = 0;
  uint64_t saves = 0, saves_failed = 0;
  bool disk_fails = false;      // the last save did
  uint64_t restored = 0;        // from disk
  uint64_t lost = 0;            // experts that began anew though they had been trained
  uint64_t peers_given_up = 0;  // leaders that did not answer, before their records expired
  uint64_t stood_still = 0;     // times that this host did, for longer than a machine is busy
  UpdateCounters updates;
  std::string trouble;  // the last thing that went wrong, for people; empty: nothing did
};

class Host {
 public:
  Host(base::Loop& loop, Executor& executor, base::Loop& disk, peers::Transport& transport,
       peers::Directory& directory, HeldExperts& held, const SwarmSpec& spec, const HostOptions& options);
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // Fills in what a host says: host, held, retired, newcomers, room, step.
  void describe(PeerState& state) const;
  // done runs on the loop when nothing is led here any more that another takes and nothing waits for this
  // host to lead it, or after leave_ns_max. Who refuses an expert, perhaps leaving too, is not asked again.
  void leave(std::function<void()> done);

  HostStatus status() const;
  bool holds_all_it_should() const;  // every expert of options.hold is led and ready; on the loop

 private:
  struct State;
  std::shared_ptr<State> state_;  // weakly held by what is under way
};

}  // namespace agora::swarm
