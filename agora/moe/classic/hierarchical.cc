#include "agora/moe/classic/hierarchical.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_format.h"
#include "agora/base/check.h"
#include "agora/moe/classic/softmax.h"

namespace agora::moe::classic {

namespace {

// Deviation of the experts' first weights: enough to part experts that the gates give equal rows.
constexpr double kExpertNoise = 1e-2;

void fill_normal(double deviation, Rng& rng, Matrix& m) {
  for (double& v : m.values) v = deviation * rng.normal();
}

// The sum of responsibilities [N, leaves] below each branch of gate i of a level with `nodes` nodes below it
// in all.
Matrix branch_responsibility(const Matrix& leaf, int64_t gate, int64_t branches, int64_t nodes) {
  const int64_t leaves_per_branch = leaf.cols / nodes;
  Matrix sum(leaf.rows, branches);
  for (int64_t n = 0; n < leaf.rows; ++n) {
    for (int64_t b = 0; b < branches; ++b) {
      const auto below = leaf.row(n).subspan((gate * branches + b) * leaves_per_branch, leaves_per_branch);
      sum(n, b) = std::accumulate(below.begin(), below.end(), 0.0);
    }
  }
  return sum;
}

Status validate_shape(const TreeShape& shape) {
  if (shape.branching.empty()) return absl::InvalidArgumentError("a tree needs at least one level of gates");
  int64_t leaves = 1;
  for (const int branches : shape.branching) {
    if (branches < 1 || branches > HierarchicalMixture::kLeavesMax) {
      return absl::InvalidArgumentError(absl::StrFormat("branching must be 1 to %d at every level, got %d",
                                                        HierarchicalMixture::kLeavesMax, branches));
    }
    leaves *= branches;
    if (leaves > HierarchicalMixture::kLeavesMax) {
      return absl::InvalidArgumentError(
          absl::StrFormat("a tree may have up to %d leaves", HierarchicalMixture::kLeavesMax));
    }
  }
  if (!(shape.spread >= 0.0) || std::isinf(shape.spread)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("spread must be finite and >= 0, got %g", shape.spread));
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<HierarchicalMixture> HierarchicalMixture::make(const Examples& examples, const TreeShape& shape,
                                                        Rng rng) {
  AGORA_RETURN_IF_ERROR(validate(examples));
  AGORA_RETURN_IF_ERROR(validate_shape(shape));
  HierarchicalMixture tree;
  int64_t nodes = 1;
  for (const int branches : shape.branching) {
    Level level{branches, std::vector<Matrix>(nodes, Matrix(branches, examples.width() + 1))};
    for (Matrix& gate : level.gates) fill_normal(shape.spread, rng, gate);
    tree.levels_.push_back(std::move(level));
    nodes *= branches;
  }
  tree.experts_ = LinearExperts(nodes, examples.shape());
  for (LinearExpert& expert : tree.experts_.all()) fill_normal(kExpertNoise, rng, expert.weights);
  return tree;
}

Matrix HierarchicalMixture::log_gates(const Matrix& x) const {
  AGORA_CHECK_EQ(x.cols, experts_.shape().width);
  Matrix nodes(x.rows, 1);  // log of the gate product down to each node of the level reached
  for (const Level& level : levels_) {
    Matrix next(x.rows, nodes.cols * level.branches);
    for (int64_t n = 0; n < x.rows; ++n) {
      for (int64_t i = 0; i < nodes.cols; ++i) {
        const auto branch = next.row(n).subspan(i * level.branches, level.branches);
        log_softmax_scores(level.gates[i], x.row(n), branch);
        for (double& v : branch) v += nodes(n, i);
      }
    }
    nodes = std::move(next);
  }
  return nodes;
}

Matrix HierarchicalMixture::log_joint(const Examples& examples) const {
  Matrix joint = log_gates(examples.x);
  experts_.add_log_densities(examples, joint);
  return joint;
}

void HierarchicalMixture::maximise(const Examples& examples, const Matrix& responsibility,
                                   const EmSettings& settings) {
  int64_t nodes = 1;
  for (Level& level : levels_) {
    nodes *= level.branches;
    if (level.branches == 1) continue;
    for (int64_t i = 0; i < static_cast<int64_t>(level.gates.size()); ++i) {
      const Matrix target = branch_responsibility(responsibility, i, level.branches, nodes);
      fit_softmax(examples.x, target, settings.gate, level.gates[i]);
    }
  }
  experts_.fit(examples, responsibility, settings.expert);
}

StatusOr<EmReport> HierarchicalMixture::fit(const Examples& examples, const EmSettings& settings,
                                            const Examples* held_out) {
  AGORA_RETURN_IF_ERROR(classic::validate(settings));
  AGORA_RETURN_IF_ERROR(validate(examples, held_out, experts_.shape()));
  return run_em(*this, examples, held_out, settings, [&](double temperature) {
    Matrix joint = log_joint(examples);
    responsibilities(joint, temperature);
    maximise(examples, joint, settings);
  });
}

Matrix HierarchicalMixture::predict(const Matrix& x) const {
  Matrix gate = log_gates(x);
  exponentiate(gate.values);
  return experts_.mix(gate, x);
}

Explanation HierarchicalMixture::explain(const Examples& examples) const {
  Explanation why{log_gates(examples.x), log_joint(examples)};
  exponentiate(why.gate.values);
  responsibilities(why.responsibility);
  return why;
}

double HierarchicalMixture::log_likelihood(const Examples& examples) const {
  Matrix joint = log_joint(examples);
  return responsibilities(joint);
}

double HierarchicalMixture::penalised(const Examples& examples, const EmSettings& settings) const {
  double sum = log_likelihood(examples);
  for (const Level& level : levels_) {
    for (const Matrix& gate : level.gates) sum += ridge_log_prior(settings.gate.ridge, gate);
  }
  return sum + experts_.log_prior(settings.expert.ridge);
}

int64_t HierarchicalMixture::parameters() const {
  int64_t count = experts_.parameters();
  for (const Level& level : levels_) {
    for (const Matrix& gate : level.gates) count += gate.rows * gate.cols;
  }
  return count;
}

}  // namespace agora::moe::classic
