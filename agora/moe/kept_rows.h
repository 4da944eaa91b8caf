// A copy of a batch's rows, at the precision that the kernels would round them to anyway.
//
//   kept.keep(compute, x);   ...   View<const float> x = kept.rows(compute, scratch);
//
// With bf16 products a copy in bf16 gives the same bits in backward and half the memory. One thread at a
// time.
#pragma once

#include "agora/kernels/compute.h"
#include "agora/moe/batch_rows.h"
#include "agora/tensor/dtype.h"

namespace agora::moe {

class KeptRows {
 public:
  void keep(const kernels::Compute& compute, tensor::View<const float> x);

  // The rows as f32: the copy itself, or `scratch` filled from it.
  tensor::View<const float> rows(const kernels::Compute& compute, BatchRows<float>& scratch) const;

 private:
  bool rounded_ = false;
  BatchRows<float> f32_{tensor::Purpose::activation};
  BatchRows<tensor::bf16> bf16_{tensor::Purpose::activation};
};

}  // namespace agora::moe
