// The experts of a mixture that is trained by EM: linear ones, all of one shape.
//
//   LinearExperts experts(E, examples.shape());
//   experts.add_log_densities(examples, joint);          // log gates [N, E] become log joint
//   experts.fit(examples, responsibility, settings);     // the M-step
//   Matrix p = experts.mix(gate, x);                     // [N, O]
//
// A value type. One thread at a time; const calls are free.
#pragma once

#include <span>
#include <vector>

#include "agora/moe/classic/linear_expert.h"

namespace agora::moe::classic {

class LinearExperts {
 public:
  LinearExperts() = default;
  // All weights 0.
  LinearExperts(int64_t count, const ExampleShape& shape)
      : shape_(shape), experts_(count, LinearExpert(shape.width, shape.task, shape.outputs)) {}

  int64_t count() const { return static_cast<int64_t>(experts_.size()); }
  const ExampleShape& shape() const { return shape_; }
  std::span<LinearExpert> all() { return experts_; }

  // log_gate [N, E] becomes log_gate + log p_e(d_n | x_n).
  void add_log_densities(const Examples& examples, Matrix& log_gate) const;
  // sum over experts of gate(n, e) times the answer to x_n, [N, O].
  Matrix mix(const Matrix& gate, const Matrix& x) const;

  // Each by its own column of responsibility [N, E].
  void fit(const Examples& examples, const Matrix& responsibility, const FitSettings& settings);

  double log_prior(double ridge) const;
  int64_t parameters() const;

 private:
  ExampleShape shape_;
  std::vector<LinearExpert> experts_;
};

}  // namespace agora::moe::classic
