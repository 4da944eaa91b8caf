// The mixture with a localised gate: each expert owns a Gaussian region of the input, and all of EM is in
// closed form.
//
//   const RegionShape shape{.experts = 16, .region_width = 0.8};
//   AGORA_ASSIGN_OR_RETURN(auto m, LocalisedMixture::make(examples, shape, Rng(seed)));
//   AGORA_ASSIGN_OR_RETURN(EmReport report, m.fit(examples, settings));
//   Matrix p = m.predict(test.x);                // [N, O]
//
// gate_e(x) = share_e N(x; centre_e, covariance_e) / sum over experts of the same. EM climbs the joint
// log-likelihood sum log sum_e share_e N(x; centre_e, covariance_e) p_e(d | x): shares, centres and
// covariances are weighted means, so the gate needs no inner loop (Xu, Jordan & Hinton 1995, "An Alternative
// Model for Mixtures of Experts"). The experts are those of the tree (linear_expert.h). Inputs should have
// comparable columns (scaling.h). One thread at a time per mixture; const calls are free.
#pragma once

#include <vector>

#include "agora/base/rng.h"
#include "agora/moe/classic/em.h"
#include "agora/moe/classic/examples.h"
#include "agora/moe/classic/linear_experts.h"

namespace agora::moe::classic {

struct RegionShape {
  int experts = 8;
  // Prior of every covariance: region_width^2 on the diagonal, worth region_strength rows (an inverse Wishart
  // density). Great strength fixes the regions' shape, which leaves a gate of equal balls.
  double region_width = 1.0;
  double region_strength = 10.0;
};

class LocalisedMixture {
 public:
  static constexpr int kExpertsMax = 4096;

  // Centres start on rows drawn at random, as far apart as k-means++ puts them. InvalidArgument: bad examples
  // or shape.
  static StatusOr<LocalisedMixture> make(const Examples& examples, const RegionShape& shape, Rng rng);

  // As HierarchicalMixture::fit.
  StatusOr<EmReport> fit(const Examples& examples, const EmSettings& settings,
                         const Examples* held_out = nullptr);

  Matrix predict(const Matrix& x) const;
  Explanation explain(const Examples& examples) const;

  // sum over rows of log p(d | x): the conditional likelihood, comparable with the other mixtures'.
  double log_likelihood(const Examples& examples) const;
  // sum over rows of log p(x, d) and the priors: what EM climbs.
  double penalised(const Examples& examples, const EmSettings& settings) const;

  int64_t experts() const { return experts_.count(); }
  int64_t parameters() const;

 private:
  struct Region {
    double log_share = 0.0;
    std::vector<double> centre;  // [D]
    Matrix factor;               // Cholesky factor of the covariance
  };

  LocalisedMixture() = default;
  int64_t width() const { return experts_.shape().width; }
  // log (share_e N(x_n; centre_e, covariance_e)), [N, E].
  Matrix log_regions(const Matrix& x) const;
  Matrix log_joint(const Examples& examples) const;
  void maximise(const Examples& examples, const Matrix& responsibility, const EmSettings& settings);
  void fit_region(const Matrix& x, std::span<const double> weight, Region& region) const;

  RegionShape shape_;
  std::vector<Region> regions_;
  LinearExperts experts_;
};

}  // namespace agora::moe::classic
