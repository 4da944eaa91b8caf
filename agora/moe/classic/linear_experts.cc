#include "agora/moe/classic/linear_experts.h"

#include "agora/base/check.h"

namespace agora::moe::classic {

void LinearExperts::add_log_densities(const Examples& examples, Matrix& log_gate) const {
  std::vector<double> density(examples.rows());
  for (int64_t e = 0; e < count(); ++e) {
    experts_[e].log_densities(examples, density);
    for (int64_t n = 0; n < examples.rows(); ++n) log_gate(n, e) += density[n];
  }
}

Matrix LinearExperts::mix(const Matrix& gate, const Matrix& x) const {
  AGORA_CHECK_EQ(gate.cols, count());
  Matrix out(x.rows, shape_.outputs);
  std::vector<double> answer(shape_.outputs);
  for (int64_t n = 0; n < x.rows; ++n) {
    for (int64_t e = 0; e < count(); ++e) {
      experts_[e].predict(x.row(n), answer);
      add_scaled(gate(n, e), answer, out.row(n));
    }
  }
  return out;
}

void LinearExperts::fit(const Examples& examples, const Matrix& responsibility, const FitSettings& settings) {
  for (int64_t e = 0; e < count(); ++e) experts_[e].fit(examples, column(responsibility, e), settings);
}

double LinearExperts::log_prior(double ridge) const {
  double sum = 0.0;
  for (const LinearExpert& expert : experts_) sum += expert.log_prior(ridge);
  return sum;
}

int64_t LinearExperts::parameters() const {
  int64_t count = 0;
  for (const LinearExpert& expert : experts_) count += expert.parameters();
  return count;
}

}  // namespace agora::moe::classic
