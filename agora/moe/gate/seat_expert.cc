#include <algorithm>
#include <cmath>

#include "agora/base/check.h"
#include "agora/moe/gate/gate.h"

namespace agora::moe {
namespace {

// A candidate's part of a parameter: a matrix's row, or a vector's number.
std::span<float> part_of(tensor::Buffer<float>& numbers, int rank, int32_t candidate) {
  const auto length = static_cast<size_t>(rank == 2 ? numbers.cols() : 1);
  return numbers.flat().subspan(static_cast<size_t>(candidate) * length, length);
}

float size_of(std::span<const float> numbers) {
  double squares = 0;
  for (const float value : numbers) squares += double{value} * value;
  return static_cast<float>(std::sqrt(squares / static_cast<double>(numbers.size())));
}

void seat(Parameter& p, const Gate::Seat& seat, Rng rng) {
  const std::span<float> to = part_of(p.value, p.rank, seat.expert.value);
  if (seat.source) {
    std::ranges::copy(part_of(p.value, p.rank, seat.source->value), to.begin());
    const float noise = seat.noise * size_of(to);
    for (float& value : to) value += noise * rng.normal();
  } else if (p.rank == 2) {
    for (float& value : to) value = seat.deviation * rng.normal();
  } else {
    std::ranges::fill(to, 0.0f);
  }
  for (tensor::Buffer<float>* moment : {&p.first, &p.second}) {
    if (!moment->empty()) std::ranges::fill(part_of(*moment, p.rank, seat.expert.value), 0.0f);
  }
}

}  // namespace

void Gate::seat_expert(const Seat& s, const Rng& rng) {
  AGORA_CHECK(s.expert.value < descriptor_.experts && (!s.source || s.source->value < descriptor_.experts));
  std::vector<Parameter*> parameters;
  append_parameters(parameters);
  for (Parameter* p : parameters) seat(*p, s, rng.fork(p->name));
  if (bias_ == nullptr) return;
  const std::span<float> bias = bias_->value.flat();
  if (s.source) {
    bias[s.expert.value] = bias[s.source->value];
    return;
  }
  double sum = 0;
  int64_t open = 0;
  for (const int32_t c : open_) {
    if (c >= descriptor_.experts || c == s.expert.value) continue;
    sum += double{bias[c]};
    ++open;
  }
  bias[s.expert.value] = static_cast<float>(sum / static_cast<double>(std::max<int64_t>(open, 1)));
}

}  // namespace agora::moe
