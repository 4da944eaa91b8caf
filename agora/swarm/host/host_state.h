// What a Host is made of; only its own source files include this. See host.h.
//
// Everything here lives on the loop. What goes to the executor, the disk or the transport comes back to it by
// run_elsewhere() and back().
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "agora/base/mutex.h"
#include "agora/peers/health/latency_quantile.h"
#include "agora/swarm/host/holders.h"
#include "agora/swarm/host/host.h"
#include "agora/swarm/host/host_messages.h"
#include "agora/swarm/host/snapshot.h"
#include "agora/swarm/host/snapshot_folder.h"
#include "agora/swarm/wire/blob.h"

namespace agora::swarm {

// For one who stood still, or comes back with what its disk has: to be in contact, and to hear who leads.
constexpr int64_t kRestNs = 5'000'000'000;

// What failed is tried again later, each time that it fails twice as late.
struct Pause {
  int64_t length_ns = 0, until_ns = 0;
  void lengthen(int64_t now_ns, int64_t shortest_ns, int64_t longest_ns) {
    length_ns = std::clamp(2 * length_ns, shortest_ns, longest_ns);
    until_ns = now_ns + length_ns;
  }
};

// Leadership on its way to another host.
struct HandOver {
  peers::PeerId to;  // our last snapshot is for it
  peers::CallId call;
  int64_t asked_ns = 0;    // to lead; once it has begun, for a chunk of the last snapshot
  bool frozen = false;     // the expert takes no updates: that one is on its way
  bool sent = false;       // all of it
  bool withdrawn = false;  // the call is being cancelled
};

// One that kept updates waiting for nothing.
struct FailedHandOver {
  peers::PeerId to;
  Pause pause;
};

// What the loop knows of one held expert.
struct OwnExpert {
  Role role = Role::follower;
  uint32_t epoch = 0;  // of its weights; while it leads, of its leadership
  uint64_t version = 0;
  bool ready = false;      // it has weights
  uint64_t last_pull = 0;  // its number
  int64_t pulled_ns = 0;   // when the last pull began
  int64_t since_ns = 0;    // it holds it, or leads it as it was asked to
  double rows_per_s = 0;
  uint64_t saved_version = 0;  // on disk
  uint32_t saved_epoch = 0;
  bool saved = false;
};

struct Host::State : std::enable_shared_from_this<Host::State> {
  using Own = OwnExpert;
  // A snapshot that somebody is fetching.
  struct Copy {
    peers::PeerId peer;
    ExpertName name;
    Blob blob;
    int64_t begun_ns = 0;
    int64_t asked_ns = 0;  // for a chunk, last
    bool is_for(const peers::PeerId& who, ExpertName what) const { return peer == who && name == what; }
  };
  // A leader, as the probes find it.
  struct Watched {
    peers::LatencyQuantile latency;
    int failures = 0;  // in a row
    bool asked = false;
  };
  using Done = std::function<void(Status)>;  // called only by the State that it is of, so it may hold this
  struct Pull {
    ExpertName name;
    peers::PeerId from;
    Done done;
    // Null: to follow. Else the leader's last snapshot, or none, and who asked to lead: not once it is over.
    std::shared_ptr<peers::IncomingCall> to_lead = {};
    bool lost = false;  // the host that it is from: it may still come, and others do not wait for it
  };

  State(base::Loop& l, Executor& e, base::Loop& d, peers::Transport& t, peers::Directory& dir, HeldExperts& h,
        const SwarmSpec& s, const HostOptions& o);

  void start();

  // ---- host.cc: records, rounds, roles
  void on_event(const peers::DirectoryEvent& event);
  void on_changed(const std::vector<ExpertName>& experts);
  void every(int64_t period_ns, void (State::*work)());
  bool stood_still(int64_t due_ns);
  void count_hosts();
  bool cut_off() const;
  void round();
  void take_holdings(const std::vector<Holding>& holdings, const UpdateCounters& counters);
  void place();
  void apply(const std::vector<LeadershipChange>& changes, const Done& done = {});
  void set_claim_timer();
  void describe(PeerState& state) const;

  // ---- host_adopt.cc: where an expert's weights come from
  void begin();
  void adopt(ExpertName name);
  void adopt_from_disk(ExpertName name);
  void disk_failed(ExpertName name, const Status& status);
  void adopt_first_weights(ExpertName name);
  void adopt_from_seed(ExpertName name);
  bool may_adopt(ExpertName name);
  bool may_begin(ExpertName name);
  bool was_trained(ExpertName name) const;
  void count_lost(ExpertName name);
  void restore(ExpertName name, const peers::Payload& snapshot, const Done& done);
  void became_ready(ExpertName name, uint32_t epoch, uint64_t version);
  void adoption_failed(ExpertName name, const Status& status);
  void drop(ExpertName name);
  void let_go(ExpertName name);
  void retire(ExpertName name);
  void save_retired();
  void save();
  void save_next();

  // ---- host_transfer.cc: snapshots there and back
  void serve_snapshots(const std::shared_ptr<peers::IncomingCall>& call);
  peers::Payload heads() const;
  Status may_have(const peers::PeerId& peer, const SnapshotKey& key);
  void serve_later_chunk(const std::shared_ptr<peers::IncomingCall>& call, const SnapshotKey& key,
                         const BlobRequest& request);
  void sent_chunk(const peers::PeerId& to, const SnapshotKey& key, bool ends);
  Status room_for_copy(const peers::PeerId& peer, const SnapshotKey& key) const;
  void keep_copy(Copy copy);
  void forget_copies();
  void probe();
  void ask_heads(const peers::PeerId& peer);
  void probed(const peers::PeerId& peer, int64_t asked_ns, const StatusOr<peers::Payload>& answer);
  void not_answered(const peers::PeerId& peer, int64_t late_ns);
  int64_t probe_patience_ns(const peers::PeerId& peer) const;
  void give_up(const peers::PeerId& peer);
  void pull(Pull wanted);
  void start_pulls();
  int64_t between_pulls_ns() const {  // of one expert
    return static_cast<int64_t>(spec.loss_window_s * 0.5e9) - options.probe_ns;
  }
  bool pull_waits(ExpertName name) const;
  bool pulling(const Own& mine) const;  // now, from a host that is not lost
  void fetch_snapshot(const peers::PeerId& from, const peers::Endpoint& at, const std::string& key,
                      std::function<void(StatusOr<peers::Payload>)> done);
  void pulled(uint64_t number, StatusOr<peers::Payload> bytes);
  void lose(const peers::PeerId& peer);

  // ---- host_hand_over.cc: leadership that goes to another
  void hand_over(ExpertName name, const peers::PeerId& to);
  int64_t hand_over_deadline_ns() const;
  void handed_over(ExpertName name, const peers::PeerId& to, const Status& status);
  void hand_over_failed(ExpertName name, const HandOver& failed, const Status& status);
  bool hand_overs_first();
  bool followers_first() const;
  bool follows(const peers::PeerId& peer) const { return holders.host(peer) != nullptr; }
  HandOver* hand_over_to(const peers::PeerId& peer, ExpertName name);
  void withdraw_hand_overs();
  bool has_failed(ExpertName name) const;
  bool has_failed(ExpertName name, const peers::PeerId& to) const;
  peers::PeerId successor(ExpertName name) const;
  peers::PeerId successor(ExpertName name, bool failed_too) const;
  bool is_over(const peers::IncomingCall& call) const;
  void take_over(const std::shared_ptr<peers::IncomingCall>& call);
  void leave_next();
  void finish_leaving();

  // ---- host_growth.cc: experts that come and go by a person's wish
  void add_experts(const std::shared_ptr<peers::IncomingCall>& call);
  void retire_expert(const std::shared_ptr<peers::IncomingCall>& call);
  StatusOr<ExpertName> free_name(LayerId layer) const;
  StatusOr<ExpertName> source_of(const AddExpert& request, LayerId layer) const;
  StatusOr<ExpertName> busiest(LayerId layer, bool only_here) const;
  StatusOr<std::vector<ExpertName>> take_names(int32_t layer);
  void make_first(ExpertName name, const Done& done);
  void make_copy(ExpertName from, ExpertName to, float deviation, const Done& done);
  struct NewExperts;
  void make_next(const std::shared_ptr<NewExperts>& added);
  Status may_begin_new(const NewExperts& added) const;
  void undo(const NewExperts& added, const Status& status);
  void begin_new(const NewExperts& added);
  void say_source(ExpertName name, ExpertId source);
  static std::vector<RetiredRange> ranges_of(const std::set<ExpertName>& names);

  // compute() runs in the executor; then(its result) on the loop, unless the host has gone.
  template <class Compute, class Then>
  void in_executor(Compute compute, Then then) {
    run_elsewhere([this](base::Loop::Task task) { executor.post(std::move(task)); }, std::move(compute),
                  std::move(then));
  }
  template <class Work, class Then>
  void on_disk(Work work, Then then) {
    run_elsewhere([this](base::Loop::Task task) { disk.post(std::move(task)); }, std::move(work),
                  std::move(then));
  }
  template <class Where, class Work, class Then>
  void run_elsewhere(Where where, Work work, Then then) {
    where([weak = weak_from_this(), &l = loop, work = std::move(work), then = std::move(then)]() mutable {
      const std::shared_ptr<State> self = weak.lock();
      if (self == nullptr) return;
      auto result = std::make_shared<decltype(work())>(work());
      l.post([weak, result, then = std::move(then)]() mutable {
        if (const std::shared_ptr<State> here = weak.lock()) then(*here, std::move(*result));
      });
    });
  }

  // work(*this) on the loop at its time, unless the host has gone.
  template <class Work>
  base::TimerId at(int64_t when_ns, Work work) {
    return loop.at(when_ns, [weak = weak_from_this(), work = std::move(work)] {
      if (const std::shared_ptr<State> self = weak.lock()) work(*self);
    });
  }
  template <class Work>
  base::TimerId after(int64_t delay_ns, Work work) {
    return at(loop.now_ns() + delay_ns, std::move(work));
  }

  // A callback for the transport: then(its argument) on the loop, unless the host has gone.
  template <class Result, class Then>
  std::function<void(Result)> back(Then then) {
    return [weak = weak_from_this(), &l = loop, then = std::move(then)](Result result) {
      l.post([weak, then, result = std::move(result)]() mutable {
        if (const std::shared_ptr<State> self = weak.lock()) then(*self, std::move(result));
      });
    };
  }

  bool static_holdings() const { return !options.hold.empty(); }
  int32_t room() const;
  bool in_spec(ExpertName name) const;
  void trouble(const Status& status);
  void publish_status();

  base::Loop& loop;
  Executor& executor;
  base::Loop& disk;
  peers::Transport& transport;
  peers::Directory& directory;
  HeldExperts& held;
  const SwarmSpec spec;
  const HostOptions options;
  const SnapshotFolder folder;

  Rng rng;
  Holders holders;
  Leadership leadership;
  Placement placement;
  std::map<ExpertName, Own> own;
  std::set<ExpertName> retired;
  bool retired_moved = false;  // since it was written to disk
  struct Added {
    ExpertName name;
    ExpertId source;
    int64_t since_ns;
  };
  std::deque<Added> added;                      // copies, the oldest first; at most kNewcomersMax
  std::set<ExpertName> on_disk_now;             // has a snapshot there
  std::set<ExpertName> unreadable;              // had one, when this host started, that could not be read
  std::map<ExpertName, Pause> adoption_pauses;  // of those whose last adoption failed
  std::map<ExpertName, int64_t> orphan_since;   // had been trained, and nobody holds it
  size_t hosts_most = 0;                        // at the same time, this one too
  int64_t hosts_most_ns = 0;                    // when there were so many last
  int64_t holdings_ns = 0;                      // when they were last taken
  base::TimerId claim_timer;

  std::deque<ExpertName> to_save;
  bool saving = false;

  std::deque<Copy> copies;                             // at most options.copies_max, and those of hand-overs
  std::unordered_map<peers::PeerId, Watched> watched;  // see probe()
  std::deque<Pull> pulls;                              // waiting
  std::map<uint64_t, Pull> pulls_under_way;            // by number; options.pulls_max, and those lost
  uint64_t pulls_begun = 0;
  std::map<ExpertName, HandOver> hand_overs;               // under way; at most options.hand_overs_max
  std::map<ExpertName, FailedHandOver> failed_hand_overs;  // of what is led here: each one's last
  size_t hand_overs_running = 0;                           // calls
  int64_t hand_overs_turn_ns = INT64_MIN / 2;              // began: followers' pulls wait

  bool leaving = false;
  std::set<std::pair<ExpertName, peers::PeerId>> refused;  // to lead it, since: not asked again
  int64_t leave_until_ns = 0;
  base::TimerId leave_timer;
  bool leave_saved = false;  // or it is being saved: nothing more is claimed
  std::function<void()> left;

  HostStatus counts;  // published as status
  mutable base::Mutex mutex;
  HostStatus status ABSL_GUARDED_BY(mutex);
};

}  // namespace agora::swarm
