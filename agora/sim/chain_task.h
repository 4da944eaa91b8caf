// Something to learn that needs no data: sequences of a chain in which a token mostly says what follows.
//
//   ChainTask task({.batch = 2, .length = 16}, /*chain=*/7);   task.next();
//
// With a chance of kKnown a token is followed by its successor, else by any: the least loss that can be
// reached is least_loss(). Trainers of one swarm share the chain and draw their own sequences. One thread at
// a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agora/train/batches.h"
#include "agora/train/task.h"

namespace agora::sim {

class ChainTask final : public train::Task {
 public:
  static constexpr int32_t kTokens = 16;    // V
  static constexpr uint32_t kKnownOf8 = 7;  // of 8 tokens are followed by their successor

  ChainTask(const train::BatchShape& shape, uint64_t chain);

  model::ModelConfig shape(model::ModelConfig config) const override;
  void restart(const train::TrainOptions& options) override;
  model::Batch next() override { return draw(rng_); }
  Rng::State cursor() const override { return rng_.state(); }
  void restore(Rng::State cursor) override { rng_ = Rng(cursor); }
  std::vector<model::Batch> validation(int64_t domain, int64_t rows_max) const override;
  const std::vector<train::DomainSummary>& domains() const override { return domains_; }
  const std::vector<std::string>& notes() const override { return notes_; }
  const std::string& fingerprint() const override { return fingerprint_; }
  std::shared_ptr<const model::Tokenizer> tokenizer() const override { return nullptr; }

  static double least_loss();  // nats a token

 private:
  model::Batch draw(Rng& rng) const;

  const train::BatchShape shape_;
  std::vector<int32_t> successor_;  // [V]
  Rng rng_;
  std::vector<train::DomainSummary> domains_;
  std::vector<std::string> notes_;
  std::string fingerprint_;
};

}  // namespace agora::sim
