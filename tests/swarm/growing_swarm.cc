#include "tests/swarm/growing_swarm.h"

#include "agora/base/awaited.h"
#include "agora/base/check.h"
#include "agora/base/run_on.h"
#include "agora/kernels/cpu_features.h"
#include "agora/kernels/table.h"
#include "agora/kernels/workspace.h"
#include "agora/serve/swarm_client.h"
#include "agora/swarm/host/expert_store.h"
#include "agora/swarm/host/host_service.h"
#include "agora/swarm/wire/method.h"
#include "agora/train/swarm_spec.h"

namespace agora::tests {
namespace {

constexpr int64_t kJoinNs = 30 * base::kSecondNs;
constexpr int64_t kSayNs = 50 * base::kMillisecondNs;

kernels::Compute compute_on(base::ThreadPool& pool, kernels::Workspace* workspace = nullptr) {
  return {&kernels::best_table(kernels::cpu_features()), &pool, kernels::Precision::f32, workspace};
}

swarm::SwarmSpec spec_of(const train::TrainOptions& options, const model::ModelConfig& config) {
  swarm::SwarmSpec spec = train::spec_of(config);
  spec.name = "growing";
  spec.files["tokenizer_config.json"] = R"({"agora": {"kind": "bytes"}})";
  spec.experts_max = 2 * spec.experts;
  spec.bf16 = false;
  spec.seed = options.seed;
  spec.rows_per_step = 64;
  spec.step.learning_rate = options.learning_rate;
  return spec;
}

// What one peer says of itself, every now and then.
class Said : public std::enable_shared_from_this<Said> {
 public:
  Said(base::Loop& loop, FixedDirectory& directory, peers::Transport& transport,
       std::function<void(swarm::PeerState&)> describe)
      : loop_(loop), directory_(directory), transport_(transport), describe_(std::move(describe)) {}
  void begin() {
    if (stopped_) return;
    swarm::PeerState state;
    describe_(state);
    directory_.say(transport_.self(), transport_.endpoint(), state);
    loop_.after(kSayNs, [self = shared_from_this()] { self->begin(); });
  }
  void stop() { stopped_ = true; }  // on the loop

 private:
  base::Loop& loop_;
  FixedDirectory& directory_;
  peers::Transport& transport_;
  std::function<void(swarm::PeerState&)> describe_;
  bool stopped_ = false;
};

}  // namespace

class GrowingSwarm::GrowingHost {
 public:
  GrowingHost(GrowingSwarm& swarm, const GrowingSetup& setup)
      : loop_(swarm.loop_),
        transport_(swarm.make_transport()),
        view_(swarm.directory_, transport_->self()),
        store_(*swarm::ExpertStore::create(compute_on(pool_, &workspace_), swarm.spec_)) {
    swarm::HostOptions options;
    options.round_ns = 100 * base::kMillisecondNs;
    options.probe_ns = 200 * base::kMillisecondNs;
    options.settle_ns = 100 * base::kMillisecondNs;
    options.patience_ns = 500 * base::kMillisecondNs;
    options.tidy_ns = base::kSecondNs;
    options.retire_grace_ns = setup.retire_grace_ns;
    options.seed = std::hash<peers::PeerId>()(transport_->self());
    if (swarm.saved_ != nullptr) {
      options.first = [saved = swarm.saved_.get()](swarm::ExpertName e) { return saved->snapshot(e); };
      options.retired = swarm.saved_->manifest().retired;
      for (const auto& expert : swarm.saved_->manifest().experts) options.added.push_back(expert.name);
    }
    base::run_on(loop_, [&] {
      host_ = std::make_unique<swarm::Host>(loop_, executor_, disk_, *transport_, view_, *store_, swarm.spec_,
                                            options);
      service_ = std::make_unique<swarm::HostService>(*transport_, executor_, *store_, swarm.spec_,
                                                      swarm::HostConfig{});
      said_ = std::make_shared<Said>(loop_, swarm.directory_, *transport_,
                                     [this](swarm::PeerState& state) { host_->describe(state); });
      said_->begin();
    });
  }
  ~GrowingHost() {
    base::run_on(loop_, [&] { said_->stop(); });
    transport_->stop();
    base::run_on(loop_, [&] { host_.reset(); });
    compute_.stop();
    disk_.stop();
  }

  void with_store(const std::function<void(swarm::ExpertStore&)>& task) {
    base::run_on(compute_, [&] { task(*store_); });
  }
  const peers::Transport& transport() const { return *transport_; }

 private:
  base::Loop& loop_;
  base::ThreadPool pool_{1};
  kernels::Workspace workspace_;
  base::ThreadLoop compute_{"test-compute"}, disk_{"test-disk"};
  swarm::Executor executor_{compute_};
  std::unique_ptr<peers::LoopbackTransport> transport_;
  OwnView view_;
  std::unique_ptr<swarm::ExpertStore> store_;
  std::unique_ptr<swarm::Host> host_;
  std::unique_ptr<swarm::HostService> service_;
  std::shared_ptr<Said> said_;
};

class GrowingSwarm::GrowingServer {
 public:
  explicit GrowingServer(GrowingSwarm& swarm)
      : loop_(swarm.loop_),
        transport_(swarm.make_transport()),
        finder_(loop_, swarm.directory_, swarm.spec_, Rng(3)) {
    serve::SwarmServerSettings settings;
    settings.trunks.poll_ns = 20 * base::kMillisecondNs;
    const serve::ServerPeer peer{loop_, *transport_, swarm.directory_, finder_};
    server_ = *serve::SwarmServer::create(peer, swarm.spec_, compute_on(pool_, &workspace_), settings);
    said_ = std::make_shared<Said>(loop_, swarm.directory_, *transport_,
                                   [this](swarm::PeerState& state) { server_->describe(state); });
    base::run_on(loop_, [&] { said_->begin(); });
  }
  ~GrowingServer() {
    base::run_on(loop_, [&] { said_->stop(); });
    transport_->stop();
  }

 private:
  base::Loop& loop_;
  base::ThreadPool pool_{1};
  kernels::Workspace workspace_;
  std::unique_ptr<peers::LoopbackTransport> transport_;
  swarm::Finder finder_;
  std::unique_ptr<serve::SwarmServer> server_;
  std::shared_ptr<Said> said_;
};

GrowingSwarm::GrowingSwarm(const train::TrainOptions& options, const GrowingSetup& setup) {
  task_ = *train::make_task(options, nullptr, pool_);
  spec_ = spec_of(options, task_->shape(*train::config_of(options)));
  if (!setup.folder.empty()) {
    auto saved = swarm::SwarmFolder::open(setup.folder, spec_);
    AGORA_CHECK(saved.ok());
    saved_ = *std::move(saved);
  }
  for (int i = 0; i < setup.hosts; ++i) hosts_.push_back(std::make_unique<GrowingHost>(*this, setup));
  transport_ = make_transport();
  view_ = std::make_unique<OwnView>(directory_, transport_->self());
  auto trainer = train::SwarmTrainer::create(
      {.loop = loop_, .transport = *transport_, .directory = *view_}, spec_, options, compute_on(pool_),
      *task_, {.rows = swarm::RowDtype::f32, .patience = {}, .growth = setup.growth});
  AGORA_CHECK(trainer.ok());
  trainer_ = *std::move(trainer);
  if (!setup.folder.empty()) AGORA_CHECK(trainer_->resume(setup.folder).ok());
  AGORA_CHECK(trainer_->join(kJoinNs).ok());
  say_trainer();
  server_ = std::make_unique<GrowingServer>(*this);
}

GrowingSwarm::~GrowingSwarm() {
  server_.reset();
  transport_->stop();
  trainer_.reset();
  hosts_.clear();
  loop_.stop();
}

std::unique_ptr<peers::LoopbackTransport> GrowingSwarm::make_transport() {
  peers::PeerId id;
  id.bytes[0] = static_cast<std::byte>(++peers_);
  return std::make_unique<peers::LoopbackTransport>(network_, id, peers::Endpoint{"loop", peers_});
}

void GrowingSwarm::say_trainer() {
  swarm::PeerState state;
  trainer_->describe(state);
  base::run_on(loop_, [&] { directory_.say(transport_->self(), transport_->endpoint(), state); });
}

train::SwarmStepReport GrowingSwarm::train(int64_t steps) {
  train::SwarmStepReport last;
  for (int64_t i = 0; i < steps; ++i) {
    auto report = trainer_->step();
    AGORA_CHECK(report.ok());
    last = *std::move(report);
    say_trainer();
  }
  return last;
}

peers::Reply GrowingSwarm::ask_a_host(peers::Method method, const peers::Payload& request) {
  const auto client = make_transport();
  base::Awaited<peers::Reply> reply;
  client->call({.to = hosts_[0]->transport().self(),
                .at = hosts_[0]->transport().endpoint(),
                .method = method,
                .deadline_ns = loop_.now_ns() + 10 * base::kSecondNs},
               request, [&](peers::Reply came) { reply.bring(std::move(came)); });
  return reply.wait();
}

StatusOr<std::vector<swarm::ExpertName>> GrowingSwarm::add(const swarm::AddExpert& request) {
  const peers::Reply reply = ask_a_host(swarm::kAddExpert, swarm::encode(request));
  AGORA_RETURN_IF_ERROR(reply.status);
  return swarm::read_experts(reply.payload.bytes());
}

Status GrowingSwarm::retire(swarm::ExpertName expert) {
  return ask_a_host(swarm::kRetireExpert, swarm::encode_expert(expert)).status;
}

float GrowingSwarm::entry_bias(swarm::ExpertName expert) {
  return trainer_->model()
      .block(expert.layer)
      .mixture()
      .gate()
      .entry_bias()
      ->value.flat()[static_cast<size_t>(expert.expert.value)];
}

std::vector<int64_t> GrowingSwarm::loads(LayerId layer) {
  const auto loads = trainer_->model().block(layer).mixture().loads();
  return {loads.begin(), loads.end()};
}

void GrowingSwarm::poison(swarm::ExpertName name) {
  for (const auto& host : hosts_) {
    host->with_store([&](swarm::ExpertStore& store) {
      if (!store.experts().holds(name.layer, name.expert)) return;
      moe::Expert& expert = store.experts().expert(name.layer, name.expert);
      Rng rng(99);
      for (const tensor::ParameterView& p : expert.parameters()) {
        for (float& value : p.value.flat()) value = 30 * rng.normal();
      }
      base::ThreadPool pool(1);
      expert.repack(compute_on(pool));
    });
  }
}

int64_t GrowingSwarm::held(swarm::ExpertName expert) {
  int64_t held = 0;
  for (const auto& host : hosts_) {
    host->with_store([&](swarm::ExpertStore& store) {
      held += store.experts().holds(expert.layer, expert.expert) ? 1 : 0;
    });
  }
  return held;
}

Asker::Asker(GrowingSwarm& swarm) : swarm_(swarm), transport_(swarm.make_transport()) {
  thread_ = std::thread([this] { run(); });
}

Asker::Tally Asker::stop() {
  stopped_ = true;
  if (thread_.joinable()) thread_.join();
  return tally_;
}

void Asker::run() {
  const auto known = [this] { return serve::servers_of(swarm_.directory().records()); };
  while (known().empty() && !stopped_) std::this_thread::yield();
  while (!stopped_) {
    const serve::AskRequest request{
        .prompt = "12 19", .tokens_max = 8, .sampler = {.seed = static_cast<uint64_t>(tally_.asked)}};
    const auto answer =
        serve::ask_swarm({*transport_, swarm_.loop(), known}, request, {}, [](std::string_view) {});
    ++tally_.asked;
    asked_ = tally_.asked;
    if (answer.ok()) {
      tally_.lost += answer->summary.lost;
    } else {
      ++tally_.failed;
      tally_.why = answer.status().ToString();
    }
  }
}

}  // namespace agora::tests
