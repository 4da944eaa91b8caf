// The hierarchical mixture of experts, trained by exact EM: a tree of softmax gates over generalised linear
// experts.
//
//   AGORA_ASSIGN_OR_RETURN(auto tree, HierarchicalMixture::make(examples, {.branching = {2, 4}}, Rng(seed)));
//   AGORA_ASSIGN_OR_RETURN(EmReport report, tree.fit(examples, settings));
//   Matrix p = tree.predict(test.x);             // [N, O]
//   Explanation why = tree.explain(examples);    // which expert was asked, which one answered
//
// branching = {E} is the one-level mixture of Jacobs 1991 with a linear gate; {2, 2, 2} a binary tree of
// depth three. p(d | x) = sum over leaves of (product of gates on the way to the leaf) * p_leaf(d | x).
// E-step: a leaf's responsibility is its share of that sum. M-step: each gate is a softmax regression on the
// responsibilities below its branches, each expert a regression weighted by its own (linear_expert.h). At
// temperature 1 the penalised log-likelihood never falls. Jordan & Jacobs 1994. One thread at a time per
// mixture; const calls are free.
#pragma once

#include <vector>

#include "agora/base/rng.h"
#include "agora/moe/classic/em.h"
#include "agora/moe/classic/examples.h"
#include "agora/moe/classic/linear_experts.h"

namespace agora::moe::classic {

struct TreeShape {
  std::vector<int> branching{2, 2};  // branches of each level's gates, root first; every one >= 1
  double spread = 1.0;               // deviation of the gates' first weights; parts the experts at the start
};

class HierarchicalMixture {
 public:
  // Leaves or branches beyond this are refused.
  static constexpr int64_t kLeavesMax = 4096;

  // InvalidArgument: bad examples or shape. The experts start equal up to small noise; the gates' splits part
  // them.
  static StatusOr<HierarchicalMixture> make(const Examples& examples, const TreeShape& shape, Rng rng);

  // EM until the gain is small, the iterations are used up, or the held-out rows (may be null) stop gaining;
  // then the parameters that were best on the held-out rows are kept. InvalidArgument: examples of another
  // shape.
  StatusOr<EmReport> fit(const Examples& examples, const EmSettings& settings,
                         const Examples* held_out = nullptr);

  // E[d | x] or class probabilities, [N, O].
  Matrix predict(const Matrix& x) const;

  Explanation explain(const Examples& examples) const;

  // sum over rows of log p(d | x); with the priors of `settings` added.
  double log_likelihood(const Examples& examples) const;
  double penalised(const Examples& examples, const EmSettings& settings) const;

  int64_t experts() const { return experts_.count(); }
  int64_t parameters() const;

 private:
  HierarchicalMixture() = default;

  // log of each leaf's gate product, [N, leaves].
  Matrix log_gates(const Matrix& x) const;
  // log (gate product * density), [N, leaves].
  Matrix log_joint(const Examples& examples) const;
  void maximise(const Examples& examples, const Matrix& responsibility, const EmSettings& settings);

  // The gates of one level: gate i's branches lead to the nodes i * branches ... of the next level.
  struct Level {
    int branches = 1;
    std::vector<Matrix> gates;  // each [branches, D + 1]
  };
  std::vector<Level> levels_;
  LinearExperts experts_;
};

}  // namespace agora::moe::classic
