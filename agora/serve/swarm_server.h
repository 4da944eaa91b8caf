// A server: holds a trunk with its gates, asks the swarm's hosts for the experts, and answers.
//
//   const ServerPeer peer{loop, transport, directory, finder, &trace};
//   AGORA_ASSIGN_OR_RETURN(auto server, SwarmServer::create(peer, spec, compute, {}));   // kAsk, kExplain
//   node.contribute([&](PeerState& state) { server->describe(state); });
//   transport.stop();                                                // before the server goes
//
// It follows the newest trunk that trainers say they have, pulls it and checks it; an answer that is under
// way keeps the trunk that it began with. Every gate call is interactive and exact: which host serves an
// expert does not change a bit of the answer. Before the first trunk has come, calls are answered
// Unavailable. Any thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "agora/serve/answerer.h"
#include "agora/serve/trunk_follower.h"
#include "agora/swarm/finder/finder.h"
#include "agora/swarm/peer_state.h"
#include "agora/swarm/remote_experts.h"
#include "agora/swarm/trace.h"

namespace agora::serve {

// All outlive the server.
struct ServerPeer {
  base::Loop& loop;
  peers::Transport& transport;
  peers::Directory& directory;
  swarm::Finder& finder;
  swarm::Trace* trace = nullptr;  // null: nothing is kept
};

struct SwarmServerSettings {
  BatcherLimits limits;
  bool exact = true;  // false: partial sums, fewer bytes; bits depend on placement
  uint64_t seed = 1;  // of the draws among replicas
  TrunkFollowerSettings trunks;
};

struct SwarmServerCounters {
  AnswererCounters answers;
  uint64_t explained = 0;
  uint64_t malformed = 0;  // requests that could not be read
  TrunkCounters trunks;
};

class SwarmServer {
 public:
  // InvalidArgument: the specification holds no model of text. Registers its methods: before the transport's
  // first request. compute's workspace belongs to the server alone.
  static StatusOr<std::unique_ptr<SwarmServer>> create(const ServerPeer& peer, const swarm::SwarmSpec& spec,
                                                       const kernels::Compute& compute,
                                                       const SwarmServerSettings& settings);
  ~SwarmServer();

  // Other ways in: HTTP. See Answerer.
  void ask(Question question, std::shared_ptr<Asker> asker);
  // done runs once, with JSON: on the answering thread, or here where it is refused at once; never where the
  // server ends first.
  void explain(std::string text, std::function<void(StatusOr<std::string>)> done);

  void describe(swarm::PeerState& state) const;  // what a server says of itself
  SwarmServerCounters counters() const;
  swarm::MixReport take_report();
  const std::string& model_name() const;
  uint32_t load_us() const;  // how long a question that came now would wait

 private:
  SwarmServer(const ServerPeer& peer, const swarm::SwarmSpec& spec, const kernels::Compute& compute,
              const SwarmServerSettings& settings, const model::ModelConfig& config,
              std::unique_ptr<model::Tokenizer> tokenizer);
  void on_ask(std::shared_ptr<peers::IncomingCall> call);
  void on_explain(std::shared_ptr<peers::IncomingCall> call);

  ServerPeer peer_;
  swarm::SwarmSpec spec_;
  std::unique_ptr<model::Tokenizer> tokenizer_;
  std::atomic<uint64_t> explained_{0}, malformed_{0};
  std::unique_ptr<Answerer> answerer_;
  std::unique_ptr<swarm::RemoteExperts> experts_;  // told to the answerer, asked by its models
  std::shared_ptr<TrunkFollower> follower_;        // shared with timers and fetches under way
};

}  // namespace agora::serve
