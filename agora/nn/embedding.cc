#include "agora/nn/embedding.h"

namespace agora::nn {

Embedding::Embedding(const std::string& name, int64_t vocabulary, int64_t width, Train train)
    : table_(std::make_unique<Parameter>(Parameter::matrix(name + ".weight", vocabulary, width, train))) {}

void Embedding::forward(const kernels::Compute& compute, std::span<const int32_t> ids,
                        tensor::View<float> x) const {
  kernels::embedding_forward(compute, table_->value.view(), ids, x);
}

void Embedding::backward(const kernels::Compute& compute, std::span<const int32_t> ids,
                         tensor::View<const float> dx) {
  AGORA_CHECK(table_->trained());
  kernels::embedding_backward(compute, dx, ids, table_->gradient.view());
}

}  // namespace agora::nn
