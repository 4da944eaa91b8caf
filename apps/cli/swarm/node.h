// What every process that is a peer has: identity, transport, directory, specification, log, traces,
// metrics.
//
//   AGORA_ASSIGN_OR_RETURN(auto node, Node::open(flags, interrupt));
//   ... make roles on node->transport(), node->directory(), node->spec() ...
//   node->contribute([&](PeerState& state, std::vector<Metric>& metrics) { state.host = true; ... });
//   AGORA_RETURN_IF_ERROR(node->begin());        // others see it from now on
//   ... until interrupt; the roles hand over ...
//   node->leave();                               // tells the others; contributions end
//   node->stop();                                // no call comes or goes any more: now the roles may go
//
// The specification comes from --spec, or from the first living peer that --join names. Every second, on
// the loop, the contributions make up what the peer says of itself: its record in the directory, its
// status, its metrics. main() opens nodes; two can live in one process.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agora/base/mutex.h"
#include "agora/base/thread_loop.h"
#include "agora/peers/directory/dht.h"
#include "agora/peers/directory/directory.h"
#include "agora/peers/identity/identity.h"
#include "agora/peers/transport/transport.h"
#include "agora/swarm/spec.h"
#include "agora/swarm/trace.h"

#include "apps/cli/command.h"
#include "apps/cli/swarm/http_front.h"
#include "apps/cli/swarm/metrics.h"
#include "apps/cli/swarm/node_log.h"
#include "apps/cli/swarm/state_folder.h"
#include "apps/dashboard/feed.h"
#include "apps/dashboard/peer_status.h"

namespace agora::cli {

struct NodeFlags {
  std::string listen = "0.0.0.0:4700";  // port 0: any free one
  std::string advertise;
  std::vector<std::string> join;
  std::string state = "agora-state";
  std::string spec;
  std::string swarm_key_file;
  std::string http = "127.0.0.1:0";  // empty: none
  std::string log;                   // empty: STATE/log; "-": standard error
  bool json = false;
  double join_seconds = 30;  // how long to look for the first living peer
};

void add_node_flags(CLI::App& command, NodeFlags& flags);
// Of every command that is a peer.
constexpr const char* kConfigHelp =
    "TOML is a file with lines of `flag = value`, with these flags' names; flags after it win.";

class Node {
 public:
  using Contribution = std::function<void(swarm::PeerState&, std::vector<Metric>&)>;

  static StatusOr<std::unique_ptr<Node>> open(const NodeFlags& flags, const Interrupt& interrupt);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  const peers::Identity& identity() const { return identity_; }
  const swarm::SwarmSpec& spec() const { return spec_; }
  const std::string& state_dir() const { return flags_.state; }
  base::ThreadLoop& loop() { return *loop_; }
  peers::Transport& transport() { return *transport_; }
  peers::Directory& directory() { return *directory_; }
  swarm::Trace& trace() { return *trace_; }
  NodeLog& log() { return *log_; }

  // Before begin(). Runs on the loop.
  void contribute(Contribution contribution);
  Status begin();
  void leave();  // idempotent, as is stop(); the destructor does what is left of both
  void stop();

  dashboard::PeerStatus status() const;  // at most a second old
  const peers::Endpoint& endpoint() const { return endpoint_; }
  peers::Endpoint http() const { return http_ == nullptr ? peers::Endpoint{} : http_->endpoint(); }

 private:
  explicit Node(NodeFlags flags) : flags_(std::move(flags)) {}
  Status open_ports();
  void open_directory();
  Status find_spec(const Interrupt& interrupt);
  void serve();
  std::vector<HttpPage> pages();
  void log_event(const peers::DirectoryEvent& event);
  void refresh();  // on the loop, as is describe()
  dashboard::PeerStatus describe(std::vector<Metric>& metrics) const;

  NodeFlags flags_;
  StateFolder folder_;
  peers::Identity identity_ = peers::Identity::generate();  // until the state's is read
  std::vector<peers::Endpoint> join_;
  peers::Endpoint endpoint_;  // where others reach us
  swarm::SwarmSpec spec_;
  std::string spec_id_;  // its text
  int64_t begun_ns_ = 0;
  std::unique_ptr<NodeLog> log_;
  std::unique_ptr<base::ThreadLoop> loop_;
  std::unique_ptr<swarm::Trace> trace_;
  std::unique_ptr<peers::Transport> transport_;
  std::unique_ptr<peers::Dht> dht_;
  std::shared_ptr<peers::Directory> directory_;  // shared with what it has under way; goes on the loop
  std::vector<Contribution> contributions_;
  std::optional<dashboard::Feed> feed_;  // after begin()
  std::unique_ptr<HttpFront> http_;
  base::TimerId refresh_timer_;  // on the loop
  bool left_ = false;
  bool stopped_ = false;

  mutable base::Mutex mutex_;
  dashboard::PeerStatus status_ ABSL_GUARDED_BY(mutex_);
  std::vector<Metric> metrics_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace agora::cli
