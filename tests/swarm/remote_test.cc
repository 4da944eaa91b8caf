// A mixture over hosts that come, go and forget: what the gate gets must not show it.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <thread>

#include "agora/kernels/table.h"
#include "agora/swarm/wire/method.h"
#include <gtest/gtest.h>

#include "tests/conformance/experts_suite.h"
#include "tests/swarm/grpc_peer.h"
#include "tests/swarm/hosts_in_process.h"

namespace agora::tests {
namespace {

using moe::Keep;

constexpr LayerId kLayer{1};
const ExpertsShape kShape;
using Held = std::vector<std::vector<int32_t>>;
const Held kEachByTwo = {{0, 1, 2, 3}, {2, 3, 4, 5}, {0, 1, 4, 5}};

swarm::SwarmSpec spec() {
  swarm::SwarmSpec spec;
  spec.name = "remote";
  spec.layers = kShape.layers;
  spec.experts = spec.experts_max = kShape.experts;
  spec.shape = kShape.expert;
  spec.bf16 = false;
  spec.updates = swarm::UpdateMode::synchronous;
  return spec;
}

HostsConfig hosts(const Held& held, const MakeTransport& transport = {}) {
  return {.held = held, .transport = transport, .weights = Rng(kExpertsSeed), .host = {}};
}

swarm::RemoteExpertsConfig interactive() {
  swarm::RemoteExpertsConfig config;
  config.priority = peers::Priority::interactive;
  config.exact = true;
  config.rows = swarm::RowDtype::f32;
  return config;
}

swarm::RemoteExpertsConfig training() {
  swarm::RemoteExpertsConfig config;
  config.rows = swarm::RowDtype::f32;
  return config;
}

std::vector<uint32_t> bits_of(const tensor::Buffer<float>& rows) {
  std::vector<uint32_t> bits;
  for (const float value : rows.flat()) bits.push_back(std::bit_cast<uint32_t>(value));
  return bits;
}

// A generation: each row is made of the answer before.
std::vector<uint32_t> generate(moe::Experts& experts, int64_t tokens,
                               const std::function<void(int64_t)>& at) {
  Rng rng(3);
  Batch batch = random_batch(rng, kShape, 1, 3);
  std::vector<uint32_t> said;
  for (int64_t t = 0; t < tokens; ++t) {
    at(t);
    Batch next = random_batch(rng, kShape, 1, 3);
    const Mixed mixed = mix(experts, kLayer, batch, Keep::nothing);
    EXPECT_TRUE(mixed.status.ok()) << mixed.status;
    EXPECT_EQ(mixed.result.arrived, std::vector<uint8_t>(3, 1)) << "token " << t;
    for (int64_t d = 0; d < kShape.expert.d; ++d) next.x.row(0)[d] += std::tanh(mixed.y.row(0)[d]);
    const std::vector<uint32_t> bits = bits_of(mixed.y);
    said.insert(said.end(), bits.begin(), bits.end());
    batch = std::move(next);
  }
  return said;
}

std::vector<uint32_t> generate_here() {
  base::ThreadPool pool(1);
  const kernels::Compute compute{&kernels::best_table(kernels::cpu_features()), &pool,
                                 kernels::Precision::f32};
  auto experts = moe::LocalExperts::create(
      compute, {.layers = kShape.layers, .experts = kShape.experts, .shape = kShape.expert});
  (*experts)->initialise(Rng(kExpertsSeed));
  return generate(**experts, 30, [](int64_t) {});
}

TEST(RemoteExact, AnswersDoNotDependOnWhoHoldsWhat) {
  const std::vector<uint32_t> here = generate_here();
  const Held scattered = {{0, 5}, {3}, {1, 2, 4}};
  for (const Held& held : {contiguous(6, 1), contiguous(6, 2), contiguous(6, 5), kEachByTwo, scattered}) {
    HostsInProcess swarm(spec(), hosts(held));
    EXPECT_EQ(here, generate(swarm.gate(interactive()), 30, [](int64_t) {})) << held.size() << " hosts";
  }
}

class RemoteFaults : public testing::TestWithParam<MakeTransport> {};

TEST_P(RemoteFaults, AHostThatIsKilledInTheMiddleChangesNothing) {
  const std::vector<uint32_t> here = generate_here();
  for (const size_t victim : {0u, 1u, 2u}) {
    HostsInProcess swarm(spec(), hosts(kEachByTwo, GetParam()));
    swarm::RemoteExperts& gate = swarm.gate(interactive());
    EXPECT_EQ(here, generate(gate, 30,
                             [&](int64_t t) {
                               if (t == 7) swarm.kill(victim);
                               if (t == 20) swarm.forget(victim);
                             }))
        << "host " << victim;
    EXPECT_EQ(gate.take_report().lost, 0u);
  }
}

TEST_P(RemoteFaults, WithoutAReplicaWhatIsMissingIsData) {
  HostsInProcess swarm(spec(), hosts(contiguous(6, 2), GetParam()));
  swarm::RemoteExperts& gate = swarm.gate(interactive());
  Rng rng(4);
  const Batch batch = random_batch(rng, kShape, 20, 3);
  ASSERT_TRUE(mix(gate, kLayer, batch, Keep::nothing).status.ok());
  swarm.kill(1);
  gate.take_report();
  const Mixed mixed = mix(gate, kLayer, batch, Keep::nothing);
  ASSERT_TRUE(mixed.status.ok()) << mixed.status;
  double lost = 0;
  for (size_t i = 0; i < batch.route.expert.size(); ++i) {
    EXPECT_EQ(mixed.result.arrived[i], batch.route.expert[i] < 3 ? 1 : 0);
    if (batch.route.expert[i] >= 3) lost += batch.route.weight[i];
  }
  const swarm::MixReport report = gate.take_report();
  EXPECT_NEAR(report.gate_mass_lost, lost, 1e-4);
  EXPECT_GT(report.lost, 0u);
}

TEST_P(RemoteFaults, BackwardGoesOnWithAnotherHost) {
  HostsInProcess whole(spec(), hosts(kEachByTwo, GetParam())), torn(spec(), hosts(kEachByTwo, GetParam()));
  moe::Experts& expected = whole.gate(training());
  swarm::RemoteExperts& gate = torn.gate(training());
  Rng rng(5);
  const Batch batch = random_batch(rng, kShape, 20, 3);
  const Mixed a = mix(expected, kLayer, batch, Keep::for_backward);
  const Mixed b = mix(gate, kLayer, batch, Keep::for_backward);
  EXPECT_EQ(bits_of(a.y), bits_of(b.y));
  torn.kill(0);
  const Gradients ga = mix_backward(expected, a.result.ticket, batch, a.y);
  const Gradients gb = mix_backward(gate, b.result.ticket, batch, b.y);
  ASSERT_TRUE(gb.status.ok()) << gb.status;
  for (int64_t i = 0; i < ga.dx.size(); ++i) EXPECT_NEAR(ga.dx.data()[i], gb.dx.data()[i], 1e-4);
  for (size_t i = 0; i < ga.dweights.size(); ++i) EXPECT_NEAR(ga.dweights[i], gb.dweights[i], 1e-4);
  EXPECT_GT(gate.take_report().updates_refused, 0u) << "a follower's copy takes no update";
}

INSTANTIATE_TEST_SUITE_P(Over, RemoteFaults, testing::Values(MakeTransport{}, MakeTransport{start_grpc_peer}),
                         [](const auto& info) { return info.param ? "grpc" : "loopback"; });

// A host that answers one method in its own way. All else is as it should be.
class AnswersItself final : public peers::Transport {
 public:
  using Answer = std::function<bool(peers::IncomingCall&)>;  // false: not this one
  AnswersItself(std::unique_ptr<peers::Transport> inner, peers::Method method, Answer answer)
      : inner_(std::move(inner)), method_(method), answer_(std::move(answer)) {}
  const peers::PeerId& self() const override { return inner_->self(); }
  const peers::Endpoint& endpoint() const override { return inner_->endpoint(); }
  using Transport::call;
  peers::CallId call(const peers::CallSettings& settings, peers::Payload payload,
                     peers::CallEvents events) override {
    return inner_->call(settings, std::move(payload), std::move(events));
  }
  void cancel(peers::CallId call) override { inner_->cancel(call); }
  void serve(peers::Method method, peers::CallHandler handler) override {
    if (method != method_) return inner_->serve(method, std::move(handler));
    inner_->serve(method, [answer = answer_,
                           handler = std::move(handler)](const std::shared_ptr<peers::IncomingCall>& call) {
      if (!answer(*call)) handler(call);
    });
  }
  void stop() override { inner_->stop(); }
  peers::TransportCounters counters() const override { return inner_->counters(); }

 private:
  std::unique_ptr<peers::Transport> inner_;
  const peers::Method method_;
  const Answer answer_;
};

// Finds fault with every gradient.
AnswersItself::Answer refuse_and_count(std::atomic<int>& refused) {
  return [&refused](peers::IncomingCall& call) {
    ++refused;
    call.reply(absl::InvalidArgumentError("no"));
    return true;
  };
}

// Hosts that all do.
MakeTransport answering(base::Loop& loop, peers::Method method, const AnswersItself::Answer& answer) {
  const auto network = std::make_shared<peers::LoopbackNetwork>(loop);
  return [network, method, answer, port = std::make_shared<uint16_t>(0)](const peers::Identity& identity) {
    return std::make_unique<AnswersItself>(
        std::make_unique<peers::LoopbackTransport>(network, identity.id(), peers::Endpoint{"loop", ++*port}),
        method, answer);
  };
}

TEST(RemoteRefusals, OneHostThatRefusesGradientsStopsNothingAndIsLeftAlone) {
  base::ThreadLoop loop("refusals");
  const auto network = std::make_shared<peers::LoopbackNetwork>(loop);
  std::atomic<int> refused = 0;
  uint16_t port = 0;
  HostsInProcess whole(spec(), hosts(kEachByTwo));
  HostsInProcess torn(spec(), hosts(kEachByTwo, [&](const peers::Identity& identity) {
                        std::unique_ptr<peers::Transport> transport =
                            std::make_unique<peers::LoopbackTransport>(network, identity.id(),
                                                                       peers::Endpoint{"loop", ++port});
                        if (port > 1) return transport;
                        transport = std::make_unique<AnswersItself>(std::move(transport), swarm::kMixBackward,
                                                                    refuse_and_count(refused));
                        return transport;
                      }));
  moe::Experts& expected = whole.gate(training());
  swarm::RemoteExperts& gate = torn.gate(training());
  Rng rng(5);
  const Batch batch = random_batch(rng, kShape, 20, 3);
  constexpr int kLayers = 10;  // as deep models have: forwards, then as many backwards
  std::vector<Mixed> a, b;
  for (int i = 0; i < kLayers; ++i) {
    a.push_back(mix(expected, kLayer, batch, Keep::for_backward));
    b.push_back(mix(gate, kLayer, batch, Keep::for_backward));
  }
  for (int i = 0; i < kLayers; ++i) {
    const Gradients ga = mix_backward(expected, a[i].result.ticket, batch, a[i].y);
    const Gradients gb = mix_backward(gate, b[i].result.ticket, batch, a[i].y);
    ASSERT_TRUE(gb.status.ok()) << gb.status;
    for (int64_t k = 0; k < ga.dx.size(); ++k) EXPECT_NEAR(ga.dx.data()[k], gb.dx.data()[k], 1e-4);
  }
  EXPECT_EQ(gate.take_report().gradients_lost, 0u);
  EXPECT_GT(refused, 0);
  EXPECT_LT(refused, kLayers) << "others took what it refused: it is asked no more for a while";
}

TEST(RemoteRefusals, WhatEveryHostRefusesIsAtFaultItself) {
  base::ThreadLoop loop("refusals");
  std::atomic<int> refused = 0;
  HostsInProcess swarm(spec(),
                       hosts(kEachByTwo, answering(loop, swarm::kMixBackward, refuse_and_count(refused))));
  swarm::RemoteExperts& gate = swarm.gate(training());
  Rng rng(5);
  const Batch batch = random_batch(rng, kShape, 20, 3);
  const Mixed mixed = mix(gate, kLayer, batch, Keep::for_backward);
  EXPECT_EQ(mix_backward(gate, mixed.result.ticket, batch, mixed.y).status.code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(RemoteTickets, ABusyHostIsAskedAgainByTheTicketThatItKeeps) {
  base::ThreadLoop loop("busy");
  std::vector<size_t> bytes;
  const auto busy_at_first = [&](peers::IncomingCall& call) {
    bytes.push_back(call.payload().size());
    if (bytes.size() == 1) call.reply(absl::ResourceExhaustedError("later"));
    return bytes.size() == 1;
  };
  HostsInProcess swarm(spec(), hosts(contiguous(6, 1), answering(loop, swarm::kMixBackward, busy_at_first)));
  swarm::RemoteExperts& gate = swarm.gate(training());
  Rng rng(5);
  const Batch batch = random_batch(rng, kShape, 20, 3);
  const Mixed mixed = mix(gate, kLayer, batch, Keep::for_backward);
  const Gradients gradients = mix_backward(gate, mixed.result.ticket, batch, mixed.y);
  ASSERT_TRUE(gradients.status.ok()) << gradients.status;
  ASSERT_EQ(bytes.size(), 2u);
  EXPECT_EQ(bytes[0], bytes[1]) << "no rows again";
  EXPECT_EQ(gate.take_report().gradients_lost, 0u);
}

TEST(RemoteTickets, WhatAHostForgotIsSentAgain) {
  HostsConfig forgetful = hosts(contiguous(6, 2));
  forgetful.host.tickets.tickets_max = 1;
  HostsInProcess swarm(spec(), hosts(contiguous(6, 2))), forgets(spec(), forgetful);
  Rng rng(6);
  const Batch first = random_batch(rng, kShape, 9, 2), second = random_batch(rng, kShape, 9, 2);
  std::vector<Gradients> gradients;
  for (HostsInProcess* hosts : {&swarm, &forgets}) {
    swarm::RemoteExperts& gate = hosts->gate(training());
    const Mixed a = mix(gate, kLayer, first, Keep::for_backward);
    const Mixed b = mix(gate, kLayer, second, Keep::for_backward);
    gradients.push_back(mix_backward(gate, a.result.ticket, first, a.y));
    gradients.push_back(mix_backward(gate, b.result.ticket, second, b.y));
    EXPECT_EQ(gate.take_report().tickets_resent, hosts == &swarm ? 0u : 2u);
  }
  for (size_t i : {0u, 1u}) {
    ASSERT_TRUE(gradients[i + 2].status.ok()) << gradients[i + 2].status;
    EXPECT_EQ(bits_of(gradients[i].dx), bits_of(gradients[i + 2].dx));
    EXPECT_EQ(gradients[i].dweights, gradients[i + 2].dweights);
  }
}

// Its queue is full for a while: the others have stepped, and so must it.
TEST(RemoteSteps, ABusyHostStepsToo) {
  base::ThreadLoop loop("steps");
  std::atomic<int> asked = 0;
  const auto busy_at_first = [&](peers::IncomingCall& call) {
    if (++asked > 3) return false;
    call.reply(asked == 2 ? absl::DeadlineExceededError("late") : absl::ResourceExhaustedError("full"));
    return true;
  };
  HostsInProcess swarm(spec(), hosts(contiguous(6, 1), answering(loop, swarm::kEndStep, busy_at_first)));
  swarm::RemoteExperts& gate = swarm.gate(training());
  Rng rng(5);
  const Batch batch = random_batch(rng, kShape, 20, 3);
  const Mixed mixed = mix(gate, kLayer, batch, Keep::for_backward);
  ASSERT_TRUE(mix_backward(gate, mixed.result.ticket, batch, mixed.y).status.ok());
  const Status ended = gate.end_step({});
  EXPECT_TRUE(ended.ok()) << ended;
  EXPECT_EQ(asked, 4);
  EXPECT_GT(swarm.store(0).counters().steps, 0u);
}

TEST(RemoteRunnerUp, StandsInForAnExpertThatIsLost) {
  HostsInProcess swarm(spec(), hosts(contiguous(6, 2)));
  swarm::RemoteExperts& gate = swarm.gate(interactive());
  Batch batch{.x = tensor::Buffer<float>(1, kShape.expert.d, tensor::Purpose::scratch), .route = {}};
  std::fill(batch.x.flat().begin(), batch.x.flat().end(), 0.5f);
  batch.route = {.first = {0, 2}, .expert = {0, 4}, .weight = {0.7f, 0.3f}, .runner_up = {2}};
  swarm.kill(1);
  const Mixed mixed = mix(gate, kLayer, batch, Keep::nothing);
  ASSERT_TRUE(mixed.status.ok()) << mixed.status;
  EXPECT_EQ(mixed.result.arrived, (std::vector<uint8_t>{1, 1}));
  EXPECT_EQ(gate.take_report().by_next_expert, 1u);
  batch.route.expert = {0, 2};
  EXPECT_EQ(bits_of(mixed.y), bits_of(mix(gate, kLayer, batch, Keep::nothing).y));
}

TEST(RemoteGates, ManyThreadsAskAtTheSameTime) {
  HostsInProcess swarm(spec(), hosts(kEachByTwo));
  swarm::RemoteExperts& shared = swarm.gate(interactive());
  swarm::RemoteExperts& another = swarm.gate(training());
  const std::vector<uint32_t> here = generate_here();
  std::vector<std::vector<uint32_t>> said(4);
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < said.size(); ++i) {
      threads.emplace_back([&, i] { said[i] = generate(shared, 30, [](int64_t) {}); });
    }
    threads.emplace_back([&] {
      Rng rng(7);
      const Batch batch = random_batch(rng, kShape, 50, 2);
      for (int i = 0; i < 20; ++i) {
        const Mixed mixed = mix(another, kLayer, batch, Keep::for_backward);
        EXPECT_TRUE(mixed.status.ok());
        another.release(mixed.result.ticket);
      }
    });
  }
  for (const std::vector<uint32_t>& s : said) EXPECT_EQ(s, here);
}

TEST(RemoteRows, NarrowRowsCostLittle) {
  HostsInProcess swarm(spec(), hosts(contiguous(6, 3)));
  Rng rng(8);
  const Batch batch = random_batch(rng, kShape, 64, 3);
  std::map<swarm::RowDtype, double> error;
  std::map<swarm::RowDtype, int64_t> bytes;
  const Mixed exact = mix(swarm.gate(training()), kLayer, batch, Keep::nothing);
  double size = 0;
  for (const float value : exact.y.flat()) size += value * value;
  for (const auto rows : {swarm::RowDtype::f32, swarm::RowDtype::bf16, swarm::RowDtype::int8}) {
    swarm::RemoteExpertsConfig config = training();
    config.rows = rows;
    swarm::RemoteExperts& gate = swarm.gate(config);
    const Mixed mixed = mix(gate, kLayer, batch, Keep::nothing);
    for (int64_t i = 0; i < mixed.y.size(); ++i) {
      const double off = mixed.y.data()[i] - exact.y.data()[i];
      error[rows] += off * off / size;
    }
    bytes[rows] = gate.take_report().bytes_sent;
  }
  EXPECT_EQ(error[swarm::RowDtype::f32], 0.0);
  EXPECT_LT(std::sqrt(error[swarm::RowDtype::bf16]), 0.01);
  EXPECT_LT(std::sqrt(error[swarm::RowDtype::int8]), 0.03);
  EXPECT_LT(bytes[swarm::RowDtype::bf16], bytes[swarm::RowDtype::f32]);
  EXPECT_LT(bytes[swarm::RowDtype::int8], bytes[swarm::RowDtype::bf16]);
}

}  // namespace
}  // namespace agora::tests
