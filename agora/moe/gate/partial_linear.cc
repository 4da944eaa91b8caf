#include "agora/moe/gate/partial_linear.h"

#include <algorithm>

#include "agora/base/check.h"

namespace agora::moe {
namespace {

enum class Way : uint8_t { to_part, to_whole };

// A matrix's rows, or a vector's numbers.
void copy_chosen(Way way, std::span<const int32_t> chosen, tensor::Buffer<float>& whole,
                 tensor::Buffer<float>& part, int rank) {
  const int64_t length = rank == 2 ? whole.cols() : 1;
  for (size_t i = 0; i < chosen.size(); ++i) {
    const auto in_whole = whole.flat().subspan(static_cast<size_t>(chosen[i] * length), length);
    const auto in_part = part.flat().subspan(i * static_cast<size_t>(length), length);
    if (way == Way::to_part) std::ranges::copy(in_whole, in_part.begin());
    if (way == Way::to_whole) std::ranges::copy(in_part, in_whole.begin());
  }
}

}  // namespace

void PartialLinear::choose(std::span<const int32_t> outputs) {
  const auto count = static_cast<int64_t>(outputs.size());
  AGORA_CHECK_LE(count, whole_.outputs());
  chosen_.assign(outputs.begin(), outputs.end());
  if (count == whole_.outputs()) {
    part_.reset();
  } else if (part_ == nullptr || part_->outputs() != count) {
    part_ = std::make_unique<nn::Linear>(name_, count, whole_.inputs(), bias_, train_);
  }
}

void PartialLinear::repack(const kernels::Compute& compute) {
  if (part_ == nullptr) return whole_.repack(compute);
  copy_chosen(Way::to_part, chosen_, whole_.weight().value, part_->weight().value, 2);
  if (bias_ == nn::Bias::yes) {
    copy_chosen(Way::to_part, chosen_, whole_.bias()->value, part_->bias()->value, 1);
  }
  part_->repack(compute);
}

// The gradients so far go along: sums are made in the order in which a whole layer makes them.
void PartialLinear::backward(const kernels::Compute& compute, tensor::View<const float> x,
                             tensor::View<const float> dy, tensor::View<float> dx) {
  if (part_ == nullptr) return whole_.backward(compute, x, dy, dx, kernels::Write::add);
  const auto copy_gradients = [&](Way way) {
    copy_chosen(way, chosen_, whole_.weight().gradient, part_->weight().gradient, 2);
    if (bias_ == nn::Bias::yes)
      copy_chosen(way, chosen_, whole_.bias()->gradient, part_->bias()->gradient, 1);
  };
  copy_gradients(Way::to_part);
  part_->backward(compute, x, dy, dx, kernels::Write::add);
  copy_gradients(Way::to_whole);
}

}  // namespace agora::moe
