// Affine maps of the input learnt from training rows: standardise each column, or turn to Fisher's
// discriminants.
//
//   AGORA_ASSIGN_OR_RETURN(Projection projection, Projection::discriminants(train, dimensions, shrinkage));
//   Matrix z = projection.apply(test.x);
//
// Immutable after it is made; any thread.
#pragma once

#include <vector>

#include "agora/moe/classic/examples.h"

namespace agora::moe::classic {

class Projection {
 public:
  // Every column to mean 0 and deviation 1; a constant column to 0.
  static StatusOr<Projection> standardise(const Examples& train);

  // Every column to mean 0; one factor for all, the inverse of their root mean variance: keeps the columns'
  // proportions.
  static StatusOr<Projection> centre(const Examples& train);

  // The directions that part the classes best against their spread within (Fisher 1936, Rao 1948), best
  // first, scaled so that the spread within is the identity. `shrinkage` in [0, 1] moves the covariance
  // within the classes towards its diagonal (Friedman 1989). dimensions in [1, columns]; beyond classes - 1
  // the directions hold no class means.
  static StatusOr<Projection> discriminants(const Examples& train, int64_t dimensions, double shrinkage);

  // x [N, D] -> [N, dimensions]
  Matrix apply(const Matrix& x) const;

  int64_t dimensions() const { return direction_.rows; }

 private:
  std::vector<double> mean_;  // [D]
  Matrix direction_;          // [dimensions, D]
};

}  // namespace agora::moe::classic
