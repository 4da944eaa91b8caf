// A swarm saved as one folder is a model that every other command opens, and the swarm goes on from it.
#include <thread>

#include "agora/base/awaited.h"
#include "agora/base/bytes.h"
#include "agora/base/run_on.h"
#include "agora/base/test_folder.h"
#include "agora/base/thread_loop.h"
#include "agora/kernels/cpu_features.h"
#include "agora/kernels/table.h"
#include "agora/peers/transport/loopback.h"
#include "agora/swarm/finder/finder.h"
#include "agora/swarm/host/expert_store.h"
#include "agora/swarm/host/host.h"
#include "agora/swarm/host/host_service.h"
#include "agora/swarm/swarm_folder.h"
#include "agora/swarm/wire/method.h"
#include "agora/train/counting_text.h"
#include "agora/train/run_folder.h"
#include "agora/train/swarm_save.h"
#include "agora/train/swarm_spec.h"
#include "agora/train/swarm_trainer.h"
#include "agora/weights/safetensors.h"
#include <gtest/gtest.h>

#include "tests/small_options.h"
#include "tests/swarm/fixed_directory.h"

namespace agora::tests {
namespace {

constexpr int kHosts = 2;

peers::PeerId peer_of(int number) {
  peers::PeerId peer;
  peer.bytes[0] = static_cast<std::byte>(number);
  return peer;
}

const kernels::Table& table() { return kernels::best_table(kernels::cpu_features()); }

// What one peer has: a way to others and a view of who is there.
struct Peer {
  Peer(const std::shared_ptr<peers::LoopbackNetwork>& network, FixedDirectory& all, int number)
      : transport(network, peer_of(number), {"loop", static_cast<uint16_t>(number)}),
        directory(all, peer_of(number)) {}
  peers::LoopbackTransport transport;
  OwnView directory;
};

// A host that holds every kHosts-th expert, and its threads.
class WholeHost {
 public:
  WholeHost(base::Loop& loop, const std::shared_ptr<peers::LoopbackNetwork>& network, FixedDirectory& all,
            int number, const swarm::SwarmSpec& spec, const swarm::SwarmFolder* saved)
      : loop_(loop), all_(all), peer_(network, all, number) {
    const kernels::Compute compute{&table(), &pool_, kernels::Precision::f32};
    store_ = *swarm::ExpertStore::create(compute, spec);
    swarm::HostOptions options;
    for (int32_t l = 0; l < spec.layers; ++l) {
      for (int32_t e = number % kHosts; e < spec.experts; e += kHosts) {
        options.hold.push_back({LayerId(l), ExpertId(e)});
      }
    }
    if (saved != nullptr) {
      options.first = [saved](swarm::ExpertName expert) { return saved->snapshot(expert); };
    }
    base::run_on(loop_, [&] {
      host_ = std::make_unique<swarm::Host>(loop_, executor_, disk_, peer_.transport, peer_.directory,
                                            *store_, spec, options);
      service_ = std::make_unique<swarm::HostService>(peer_.transport, executor_, *store_, spec,
                                                      swarm::HostConfig{});
    });
  }
  ~WholeHost() {
    peer_.transport.stop();
    base::run_on(loop_, [&] { host_.reset(); });
    compute_.stop();
    disk_.stop();
  }

  // True when it leads all that it should; it has said so in the directory then.
  bool ready() { return ready_in(all_); }
  bool ready_in(FixedDirectory& directory) {
    bool ready = false;
    base::run_on(loop_, [&] {
      ready = host_->holds_all_it_should();
      swarm::PeerState state;
      host_->describe(state);
      if (ready) directory.say(peer_.transport.self(), peer_.transport.endpoint(), state);
    });
    return ready;
  }

 private:
  base::Loop& loop_;
  FixedDirectory& all_;
  base::ThreadPool pool_{1};
  base::ThreadLoop compute_{"test-compute"}, disk_{"test-disk"};
  swarm::Executor executor_{compute_};
  Peer peer_;
  std::unique_ptr<swarm::ExpertStore> store_;
  std::unique_ptr<swarm::Host> host_;
  std::unique_ptr<swarm::HostService> service_;
};

// A loop that says when somebody first looks at its clock.
class Noticed final : public base::Loop {
 public:
  explicit Noticed(base::Loop& loop) : loop_(loop) {}
  int64_t now_ns() const override {
    notice();
    return loop_.now_ns();
  }
  void post(Task task) override { loop_.post(std::move(task)); }
  base::TimerId at(int64_t when_ns, Task task) override { return loop_.at(when_ns, std::move(task)); }
  void cancel(base::TimerId timer) override { loop_.cancel(timer); }
  void notice() const {
    base::MutexLock lock(mutex_);
    noticed_ = true;
    changed_.wake_all();
  }
  void wait() {
    base::MutexLock lock(mutex_);
    while (!noticed_) changed_.wait(mutex_);
  }

 private:
  base::Loop& loop_;
  mutable base::Mutex mutex_;
  mutable base::Condition changed_;
  mutable bool noticed_ ABSL_GUARDED_BY(mutex_) = false;
};

// Hosts and one trainer, from nothing or from a folder.
class WholeSwarm {
 public:
  WholeSwarm(const swarm::SwarmSpec& spec, const train::TrainOptions& options, const std::string& folder) {
    if (!folder.empty()) {
      auto opened = swarm::SwarmFolder::open(folder, spec);
      EXPECT_TRUE(opened.ok()) << opened.status();
      saved_ = *std::move(opened);
    }
    for (int number = 1; number <= kHosts; ++number) {
      hosts_.push_back(std::make_unique<WholeHost>(loop_, network_, directory_, number, spec, saved_.get()));
    }
    for (const auto& host : hosts_) {
      while (!host->ready()) std::this_thread::yield();
    }
    task_ = *train::make_task(options, nullptr, pool_);
    const kernels::Compute compute{&table(), &pool_, kernels::Precision::f32};
    auto made =
        train::SwarmTrainer::create({loop_, me_.transport, me_.directory}, spec, options, compute, *task_,
                                    {.rows = swarm::RowDtype::f32, .patience = {}, .growth = {}});
    EXPECT_TRUE(made.ok()) << made.status();
    trainer_ = *std::move(made);
    if (!folder.empty()) {
      const Status resumed = trainer_->resume(folder);
      EXPECT_TRUE(resumed.ok()) << resumed;
    }
    const Status joined = trainer_->join(20 * base::kSecondNs);
    EXPECT_TRUE(joined.ok()) << joined;
  }
  ~WholeSwarm() {
    me_.transport.stop();
    hosts_.clear();
    loop_.stop();
  }

  train::SwarmTrainer& trainer() { return *trainer_; }

  // By a finder that hears of the hosts when saving has begun, as one that was made a moment ago does.
  Status save_by_a_new_finder(const swarm::SwarmSpec& spec, const std::string& dir) {
    FixedDirectory late;
    swarm::Finder finder(loop_, late, spec, Rng(1));
    Noticed loop(loop_);
    Status saved;
    std::thread saving([&] {
      saved = train::save_swarm({.loop = loop,
                                 .transport = me_.transport,
                                 .directory = late,
                                 .finder = finder,
                                 .spec = spec,
                                 .trunk = trainer_->model(),
                                 .tokenizer = nullptr,
                                 .state = trainer_->state(),
                                 .version = {}},
                                dir);
      loop.notice();
    });
    loop.wait();
    for (const auto& host : hosts_) host->ready_in(late);
    saving.join();
    return saved;
  }
  const train::Task& task() const { return *task_; }

  // The trainer's place in its data, as who saves the swarm hears of it.
  Rng::State cursor_told() {
    Peer other(network_, directory_, 51);
    base::Awaited<peers::Reply> told;
    other.transport.call({.to = me_.transport.self(),
                          .at = me_.transport.endpoint(),
                          .method = swarm::kGetCursor,
                          .priority = peers::Priority::background,
                          .deadline_ns = loop_.now_ns() + 20 * base::kSecondNs},
                         {}, [&told](const peers::Reply& reply) { told.bring(reply); });
    const peers::Reply reply = told.wait();
    other.transport.stop();
    EXPECT_TRUE(reply.status.ok()) << reply.status;
    const std::byte* bytes = reply.payload.bytes().data();
    return {base::load_le<uint64_t>(bytes), base::load_le<uint64_t>(bytes + 8)};
  }

 private:
  base::ThreadLoop loop_{"test-loop"};
  std::shared_ptr<peers::LoopbackNetwork> network_ = std::make_shared<peers::LoopbackNetwork>(loop_);
  FixedDirectory directory_;
  std::unique_ptr<swarm::SwarmFolder> saved_;
  std::vector<std::unique_ptr<WholeHost>> hosts_;
  base::ThreadPool pool_{1};
  Peer me_{network_, directory_, 50};
  std::unique_ptr<train::Task> task_;
  std::unique_ptr<train::SwarmTrainer> trainer_;
};

class SwarmSaving : public testing::Test {
 protected:
  void SetUp() override {
    options_.experts = 6;
    options_.average_every = 4;
    base::ThreadPool pool(1);
    const auto task = train::make_task(options_, nullptr, pool);
    ASSERT_TRUE(task.ok()) << task.status();
    const model::ModelConfig config = (*task)->shape(*train::config_of(options_));
    spec_ = train::spec_of(config);
    spec_.name = "saving";
    spec_.bf16 = false;
    spec_.replicas = 1;
    spec_.rows_per_step = 32;
    spec_.step.learning_rate = options_.learning_rate;
  }

  const base::TestFolder dir_;
  train::CountingText text_;
  train::TrainOptions options_ = small_options(text_.file());
  swarm::SwarmSpec spec_;
};

// Once in many runs, on a busy machine, this was the end of training that never came.
TEST_F(SwarmSaving, WaitsForHostsThatItsFinderHasNotHeardOfYet) {
  WholeSwarm swarm(spec_, options_, "");
  const Status saved = swarm.save_by_a_new_finder(spec_, dir_.path("saved"));
  EXPECT_TRUE(saved.ok()) << saved;
}

TEST_F(SwarmSaving, ATrainerTellsItsPlaceInTheDataFromTheBeginning) {
  WholeSwarm swarm(spec_, options_, "");
  EXPECT_EQ(swarm.cursor_told(), swarm.trainer().state().cursor);
  ASSERT_TRUE(swarm.trainer().step().ok());
  const std::string folder = dir_.path("saved");
  ASSERT_TRUE(swarm.trainer().save(folder).ok());
  const Rng::State saved = swarm.trainer().state().cursor;
  ASSERT_TRUE(swarm.trainer().step().ok());
  ASSERT_TRUE(swarm.trainer().resume(folder).ok());
  EXPECT_EQ(swarm.cursor_told(), saved);
}

TEST_F(SwarmSaving, WhatWasAlteredIsRefusedByName) {
  const std::string folder = dir_.path("saved");
  WholeSwarm swarm(spec_, options_, "");
  ASSERT_TRUE(swarm.trainer().step().ok());
  ASSERT_TRUE(swarm.trainer().save(folder).ok());
  const auto alter = [&](const std::string& file, const std::string& tensor) {
    std::string content = *weights::read_file(folder + file, int64_t{1} << 30);
    const auto parsed = *weights::SafetensorsFile::parse(base::as_bytes(content), file);
    const std::byte* first = parsed->find(tensor)->bytes.data();
    content[static_cast<size_t>(first - base::as_bytes(content).data())] ^= 1;
    base::write_text(folder + file, content);
  };
  const auto message = [](const Status& status) { return std::string(status.message()); };
  const std::string of_expert = "model.layers.0.mlp.experts.1.up_proj.weight";
  alter("/model.safetensors", of_expert);
  alter("/optimizer.safetensors", swarm::second_moment("model.norm.weight"));
  const auto opened = swarm::SwarmFolder::open(folder, spec_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_TRUE((*opened)->snapshot({LayerId(0), ExpertId(0)}).ok());
  const Status of_host = (*opened)->snapshot({LayerId(0), ExpertId(1)}).status();
  EXPECT_EQ(of_host.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(message(of_host).find(of_expert), std::string::npos) << of_host;
  const Status of_trainer = swarm.trainer().resume(folder);
  EXPECT_EQ(of_trainer.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(message(of_trainer).find("second:model.norm.weight"), std::string::npos) << of_trainer;
  alter("/model.safetensors", "model.norm.weight");
  EXPECT_NE(message(swarm.trainer().resume(folder)).find("tensor \"model.norm.weight\""), std::string::npos);
}

TEST_F(SwarmSaving, IsAModelAndASwarmAgain) {
  const std::string folder = dir_.path("saved");
  double loss = 0;
  Rng::State cursor;
  uint64_t round = 0;
  {
    WholeSwarm swarm(spec_, options_, "");
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(swarm.trainer().step().ok());
    const Status saved = swarm.trainer().save(folder);
    ASSERT_TRUE(saved.ok()) << saved;
    loss = swarm.trainer().validate(0)->total.loss();
    cursor = swarm.trainer().state().cursor;
    round = swarm.trainer().averaging().version.round;

    base::ThreadPool pool(1);
    const kernels::Compute compute{&table(), &pool, kernels::Precision::f32};
    auto model = train::load_run(folder, compute);
    ASSERT_TRUE(model.ok()) << model.status();
    const auto alone = train::evaluate(*model->model, {.compute = compute}, swarm.task(), 0);
    ASSERT_TRUE(alone.ok()) << alone.status();
    EXPECT_NEAR(alone->total.loss(), loss, 2e-3);  // hosts may have stepped once more in between
    EXPECT_EQ(train::read_run_state(folder)->step, 20);
  }
  const auto manifest = swarm::read_manifest(folder);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->experts.size(), static_cast<size_t>(options_.layers * options_.experts));
  EXPECT_EQ(manifest->swarm, spec_.id().text());
  EXPECT_LE(manifest->trunk.round, round);
  EXPECT_EQ(manifest->cursors.at(peer_of(50).text()), cursor);
  const swarm::ManifestExpert& one = manifest->experts.front();
  const auto opened = swarm::SwarmFolder::open(folder, spec_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const auto expert = (*opened)->snapshot(one.name);
  ASSERT_TRUE(expert.ok()) << expert.status();
  EXPECT_GT(one.learning_rate, 0);
  EXPECT_EQ(swarm::Snapshot::open(*expert)->head().learning_rate, one.learning_rate);

  WholeSwarm again(spec_, options_, folder);
  EXPECT_EQ(again.trainer().state().step, 20);
  EXPECT_EQ(again.trainer().state().cursor, cursor);
  EXPECT_EQ(again.trainer().averaging().version, manifest->trunk);
  EXPECT_NEAR(again.trainer().validate(0)->total.loss(), loss, 2e-3);
  ASSERT_TRUE(again.trainer().step().ok());
}

}  // namespace
}  // namespace agora::tests
