// The adaptive mixture of local experts of Jacobs, Jordan, Nowlan & Hinton 1991, trained by gradient.
//
//   MixtureShape shape{.experts = 4, .expert_hidden = 8, .loss = Loss::competitive};
//   AGORA_ASSIGN_OR_RETURN(auto mixture, CompetitiveMixture::make(examples, shape, Rng(seed)));
//   AGORA_ASSIGN_OR_RETURN(MinimiseReport report, mixture.fit(examples, settings));
//   Explanation why = mixture.explain(examples);
//
// Experts o_i(x) and a gate g(x) = softmax, each linear or with one hidden layer. Per row the loss is
//   competitive, regression:      - log sum_i g_i exp(-|d - o_i|^2 / 2)
//   competitive, classification:  - log sum_i g_i p_i(class),  p_i = softmax(o_i)
//   cooperative, regression:      |d - sum_i g_i o_i|^2
//   cooperative, classification:  |onehot(class) - sum_i g_i p_i|^2
// The competitive gradient of expert i is its own error times its responsibility h_i (the posterior), so
// experts part the rows among them; in the cooperative one every expert mends what the others leave, so they
// entangle. One expert is a single network: the gate is then the constant 1 and has no parameters. One thread
// at a time per mixture; const calls are free.
#pragma once

#include <vector>

#include "agora/base/rng.h"
#include "agora/moe/classic/em.h"
#include "agora/moe/classic/examples.h"
#include "agora/moe/classic/minimise.h"
#include "agora/moe/classic/network.h"

namespace agora::moe::classic {

enum class Loss : uint8_t { competitive, cooperative };

struct MixtureShape {
  int experts = 4;
  int expert_hidden = 0;  // 0: linear experts
  int gate_hidden = 0;    // 0: a linear gate
  Loss loss = Loss::competitive;
};

struct GradientSettings {
  MinimiseSettings search{};
  double expert_decay = 0.0;  // decay / 2 * sum of squares is added to the sum of the rows' losses
  double gate_decay = 0.0;
  int patience = 30;  // iterations without a gain on the held-out rows that end the fit
};

class CompetitiveMixture {
 public:
  static constexpr int64_t kParametersMax = int64_t{1} << 24;

  // InvalidArgument: bad examples or shape.
  static StatusOr<CompetitiveMixture> make(const Examples& examples, const MixtureShape& shape, Rng rng);

  // Batch gradient by L-BFGS. With held-out rows (may be null) the parameters that were best on them are
  // kept.
  StatusOr<MinimiseReport> fit(const Examples& examples, const GradientSettings& settings,
                               const Examples* held_out = nullptr);

  // Sum of the rows' losses at these weights; its gradient is added to `gradient` unless that is empty.
  double loss(const Examples& examples, std::span<const double> weights, std::span<double> gradient) const;

  // sum_i g_i o_i or class probabilities sum_i g_i p_i, [N, O].
  Matrix predict(const Matrix& x) const;

  // What one expert would answer alone, o_i or p_i, [N, O]. expert in [0, experts()).
  Matrix predict_expert(int64_t expert, const Matrix& x) const;

  // Responsibilities are the posteriors of the competitive model under either loss.
  Explanation explain(const Examples& examples) const;

  int64_t experts() const { return shape_.experts; }
  int64_t parameters() const { return static_cast<int64_t>(weights_.size()); }
  std::span<const double> weights() const { return weights_; }

 private:
  struct Pass;

  CompetitiveMixture() = default;
  std::span<const double> expert_weights(std::span<const double> all, int64_t expert) const;
  void forward(std::span<const double> weights, std::span<const double> x, Pass& pass) const;
  void log_fit(const Examples& examples, int64_t n, const Pass& pass, std::span<double> out) const;
  double competitive_row(const Examples& examples, int64_t n, Pass& pass) const;
  double cooperative_row(const Examples& examples, int64_t n, Pass& pass) const;
  void backward(std::span<const double> weights, std::span<const double> x, Pass& pass,
                std::span<double> gradient) const;

  MixtureShape shape_;
  Task task_ = Task::regression;
  Network expert_;
  Network gate_;
  std::vector<double> weights_;  // expert 0, expert 1, ..., gate
};

}  // namespace agora::moe::classic
