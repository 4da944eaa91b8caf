// The activations of the experts and their derivatives, one number at a time.
#pragma once

#include "agora/kernels/expert_ffn.h"

namespace agora::kernels::reference {

struct ValueAndSlope {
  double value;
  double slope;
};

// silu for swiglu's gate; gelu in its tanh form; relu; the identity for linear.
ValueAndSlope activate(Activation activation, double x);

}  // namespace agora::kernels::reference
