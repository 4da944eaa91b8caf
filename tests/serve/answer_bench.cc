// Tokens a second at 1, 4 and 16 answers at once: experts in this process, and at four hosts of this process
// over gRPC on loopback with TLS.
//
//   build/bin/answer_bench            # one JSON line each
//
// The model of recipes/machine_text with first weights. The trunk computes in bf16, and so do the local
// experts; the hosts in f32, on a thread each.
#include <algorithm>
#include <iostream>

#include "absl/strings/str_format.h"
#include "agora/serve/answerer.h"
#include "agora/serve/test_model.h"
#include "agora/train/swarm_spec.h"

#include "tests/swarm/grpc_peer.h"
#include "tests/swarm/hosts_in_process.h"

namespace agora::tests {
namespace {

constexpr int64_t kTokens = 200;

model::ModelConfig bench_config() {
  model::ModelConfig config;
  config.vocab_size = 2048;
  config.hidden_size = 256;
  config.num_hidden_layers = 4;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 4;
  config.head_dim = 64;
  config.max_position_embeddings = 256;
  config.moe_intermediate_size = 256;
  config.gate = {.experts = 16, .chosen = 2, .renormalise = true};
  return config;
}

class Done final : public serve::Asker {
 public:
  void part(serve::AskPart) override {}
  void done(const Status& status, const serve::AskSummary&) override {
    AGORA_CHECK(status.ok());
    const base::MutexLock lock(mutex_);
    done_ = true;
    changed_.wake_all();
  }
  bool gone() const override { return false; }
  void wait() {
    const base::MutexLock lock(mutex_);
    while (!done_) changed_.wait(mutex_);
  }

 private:
  base::Mutex mutex_;
  base::Condition changed_;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
};

double tokens_per_second(serve::Answerer& answerer, int64_t sessions) {
  const RealClock clock;
  const int64_t begin_ns = clock.now_ns();
  std::vector<std::shared_ptr<Done>> all;
  for (int64_t i = 0; i < sessions; ++i) {
    all.push_back(std::make_shared<Done>());
    answerer.ask({.request = {.prompt = "The quick brown fox",
                              .tokens_max = kTokens,
                              .sampler = {.seed = static_cast<uint64_t>(i)}}},
                 all.back());
  }
  for (const auto& one : all) one->wait();
  return static_cast<double>(sessions * kTokens) / (static_cast<double>(clock.now_ns() - begin_ns) * 1e-9);
}

void measure(const char* where, const kernels::Compute& compute, const model::Tokenizer& tokenizer,
             std::shared_ptr<model::Model> model) {
  const RealClock clock;
  serve::Answerer answerer(compute, clock, tokenizer, {});
  answerer.use_trunk({1, std::move(model)});
  tokens_per_second(answerer, 1);  // warms up
  for (const int64_t sessions : {1, 4, 16}) {
    std::vector<double> rates;
    for (int i = 0; i < 3; ++i) rates.push_back(tokens_per_second(answerer, sessions));
    std::ranges::sort(rates);
    std::cout << absl::StrFormat(
        "{\"name\": \"answer_tokens_per_s\", \"experts\": \"%s\", \"sessions\": %d, \"median\": %.0f, "
        "\"least\": %.0f, \"most\": %.0f}\n",
        where, sessions, rates[1], rates[0], rates[2]);
  }
}

void run() {
  const model::ModelConfig config = bench_config();
  base::ThreadPool pool(2);
  kernels::Workspace workspace;
  const kernels::Compute compute{&kernels::best_table(kernels::cpu_features()), &pool,
                                 kernels::Precision::bf16, &workspace};
  const auto tokenizer = *model::Tokenizer::train("", {.kind = model::TokenizerKind::bytes});
  const model::LocalModel whole = *model::make_model(config, compute, tensor::Train::no, Rng(1));
  const auto borrowed = [](model::Model* model) {
    return std::shared_ptr<model::Model>(model, [](auto*) {});
  };
  measure("local", compute, *tokenizer, borrowed(whole.model.get()));

  swarm::SwarmSpec spec = train::spec_of(config);
  spec.name = "bench";
  HostsInProcess hosts(spec, {.held = contiguous(config.gate.experts, 4),
                              .transport = start_grpc_peer,
                              .weights = Rng(1),
                              .host = {}});
  for (const bool exact : {true, false}) {
    swarm::RemoteExperts& gate = hosts.gate({.priority = peers::Priority::interactive, .exact = exact});
    const auto model = *model::Model::create(config, gate, tensor::Train::no);
    model->initialise(Rng(1));
    model->repack(compute);
    measure(exact ? "remote, exact" : "remote, partial sums", compute, *tokenizer, borrowed(model.get()));
  }
}

}  // namespace
}  // namespace agora::tests

int main() {
  agora::tests::run();
  return 0;
}
