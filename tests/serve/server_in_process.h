// A swarm that answers, in one process: hosts that hold every expert twice, a trainer with a trunk, servers,
// and the same model whole, to compare with.
//
//   ServersInProcess swarm;   swarm.put_trunk(1);   swarm.add_server();
//   EXPECT_EQ(swarm.ask(request, show).text, swarm.alone(request));
//
// Tests only. One thread; the peers have their own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agora/kernels/workspace.h"
#include "agora/serve/generate.h"
#include "agora/serve/swarm_client.h"
#include "agora/serve/swarm_server.h"
#include "agora/serve/test_model.h"
#include "agora/swarm/trunk_exchange.h"
#include "agora/train/swarm_spec.h"

#include "tests/swarm/hosts_in_process.h"

namespace agora::tests {

inline std::vector<std::vector<int32_t>> every_expert_twice() { return {{0, 1}, {1, 2}, {2, 3}, {0, 3}}; }

class ServersInProcess {
 public:
  explicit ServersInProcess(uint64_t seed = 7)
      : model_(*model::make_model(trunk_config(), compute(), tensor::Train::no, Rng(seed))),
        hosts_(spec(), {.held = every_expert_twice(), .transport = {}, .weights = Rng(seed), .host = {}}),
        layout_(model_.model->parameters(), model_.model->selection_biases()),
        trainer_(hosts_.make_transport()),
        client_(hosts_.make_transport()) {
    model_.tokenizer = *model::Tokenizer::train("", {.kind = model::TokenizerKind::bytes});
    shelf_.serve(*trainer_);
  }
  ~ServersInProcess() {
    client_->stop();
    trainer_->stop();
    for (size_t i = 0; i < servers_.size(); ++i) kill_server(i);
  }

  kernels::Compute compute() {
    return {&kernels::best_table(kernels::cpu_features()), &pool_, kernels::Precision::f32};
  }

  // As a trainer's trunk is: its gates have room, were there more experts than at the start.
  static model::ModelConfig trunk_config() {
    return *model::with_room(serve::test_config(), serve::test_config().gate.experts);
  }
  static swarm::SwarmSpec spec() {
    const model::ModelConfig config = serve::test_config();
    swarm::SwarmSpec spec = train::spec_of(config);
    spec.name = "test";
    spec.files["tokenizer_config.json"] = R"({"agora": {"kind": "bytes"}})";
    spec.bf16 = false;
    return spec;
  }

  // The trainer has the model's trunk under this version.
  void put_trunk(uint64_t version) {
    swarm::TrunkSnapshot snapshot;
    snapshot.version.round = version;
    snapshot.layout = layout_.digest();
    snapshot.values = layout_.values();
    shelf_.put(std::move(snapshot));
    hosts_.directory().say(trainer_->self(), trainer_->endpoint(),
                           {.trainer = true, .trunk_version = version});
  }

  void kill_trainer() {
    trainer_->stop();
    hosts_.directory().gone(trainer_->self());
  }

  serve::SwarmServer& add_server() {
    auto server = std::make_unique<Server>();
    server->transport = hosts_.make_transport();
    server->finder =
        std::make_unique<swarm::Finder>(hosts_.loop(), hosts_.directory(), spec(), Rng(servers_.size()));
    const serve::ServerPeer peer{hosts_.loop(), *server->transport, hosts_.directory(), *server->finder};
    const kernels::Compute compute{&kernels::best_table(kernels::cpu_features()), &server->pool,
                                   kernels::Precision::f32, &server->workspace};
    serve::SwarmServerSettings settings;
    settings.trunks.poll_ns = 5 * base::kMillisecondNs;
    server->server = *serve::SwarmServer::create(peer, spec(), compute, settings);
    servers_.push_back(std::move(server));
    return *servers_.back()->server;
  }
  void wait_for_trunk(serve::SwarmServer& server, uint64_t version) {
    base::Mutex mutex;
    base::Condition nothing;
    const base::MutexLock lock(mutex);
    while (server.counters().trunks.version < version) {
      nothing.wait_until(mutex, hosts_.loop().now_ns() + base::kMillisecondNs);
    }
  }
  // It is there, and known to those who ask.
  serve::SwarmServer& add_known_server(uint64_t version) {
    serve::SwarmServer& server = add_server();
    wait_for_trunk(server, version);
    swarm::PeerState state;
    server.describe(state);
    hosts_.directory().say(servers_.back()->transport->self(), servers_.back()->transport->endpoint(), state);
    return server;
  }
  void kill_server(size_t i) {
    servers_[i]->transport->stop();
    servers_[i]->server.reset();
  }

  struct Asked {
    Status status;
    std::string text;
    serve::SwarmAnswer answer;
  };
  Asked ask(
      const serve::AskRequest& request, const std::function<void(size_t bytes)>& shown = [](size_t) {},
      const serve::AskSettings& settings = {}) {
    Asked asked;
    const auto known = [&] { return serve::servers_of(hosts_.directory().records()); };
    auto answer =
        serve::ask_swarm({*client_, hosts_.loop(), known}, request, settings, [&](std::string_view text) {
          asked.text += text;
          shown(asked.text.size());
        });
    asked.status = answer.status();
    if (answer.ok()) asked.answer = *answer;
    return asked;
  }
  std::string alone(const serve::AskRequest& request) {
    const auto generation = *serve::Generation::start(*model_.model, {.compute = compute()},
                                                      *model_.tokenizer->encode(request.prompt),
                                                      request.sampler, request.tokens_max);
    model::StreamDecoder decoder(*model_.tokenizer);
    std::string text;
    for (int64_t i = 0; i < request.tokens_max; ++i) text += decoder.push(*generation->next());
    return text + decoder.finish();
  }

  HostsInProcess& hosts() { return hosts_; }
  peers::Transport& client() { return *client_; }
  const peers::Transport& server_transport(size_t i) const { return *servers_[i]->transport; }
  model::LocalModel& model() { return model_; }

 private:
  struct Server {
    base::ThreadPool pool{1};
    kernels::Workspace workspace;
    std::unique_ptr<peers::Transport> transport;
    std::unique_ptr<swarm::Finder> finder;
    std::unique_ptr<serve::SwarmServer> server;
  };

  base::ThreadPool pool_{1};
  model::LocalModel model_;
  HostsInProcess hosts_;
  swarm::TrunkLayout layout_;
  swarm::TrunkShelf shelf_{hosts_.loop()};
  std::unique_ptr<peers::Transport> trainer_;
  std::unique_ptr<peers::Transport> client_;
  std::vector<std::unique_ptr<Server>> servers_;
};

}  // namespace agora::tests
