// Columns of the input moved and scaled by what the training rows are.
//
//   AGORA_ASSIGN_OR_RETURN(Scaling scaling, Scaling::centre(train));
//   Matrix z = scaling.apply(test.x);
//
// Immutable after it is made; any thread.
#pragma once

#include <vector>

#include "agora/moe/classic/examples.h"

namespace agora::moe::classic {

class Scaling {
 public:
  // Every column to mean 0 and deviation 1; a constant column to 0.
  static StatusOr<Scaling> standardise(const Examples& train);

  // Every column to mean 0; one factor for all, the inverse of their root mean variance: keeps the columns'
  // proportions.
  static StatusOr<Scaling> centre(const Examples& train);

  // x [N, D] -> [N, D]
  Matrix apply(const Matrix& x) const;

 private:
  std::vector<double> mean_, scale_;  // [D]
};

}  // namespace agora::moe::classic
