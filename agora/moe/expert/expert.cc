#include "agora/moe/expert/expert.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_format.h"
#include "agora/base/check.h"
#include "agora/base/text.h"
#include "agora/optim/adamw.h"
#include "agora/optim/clip.h"

namespace agora::moe {
namespace {

// Far above any published expert; bounds what a config file can make us allocate.
constexpr int64_t kWidthMax = int64_t{1} << 20;

Status refuse(std::string_view field, std::string_view expected, double came) {
  return absl::InvalidArgumentError(
      absl::StrFormat("expert: %s must be %s, it is %g", field, expected, came));
}

bool has_hidden(const ExpertShape& shape) { return shape.activation != Activation::linear; }

enum Part : size_t { kGate, kUp, kDown, kUpBias, kDownBias, kParts };

constexpr std::array<std::string_view, kParts> kPartNames{
    "gate_proj.weight", "up_proj.weight", "down_proj.weight", "up_proj.bias", "down_proj.bias"};

int rank_of(size_t part) { return part < kUpBias ? 2 : 1; }

struct Place {
  int64_t begin = 0;
  int64_t rows = 0;  // 0: the shape has no such part
  int64_t cols = 0;
};

// Where an expert's parts lie in its memory, each from the beginning of a cache line; and how long it is.
struct Layout {
  explicit Layout(const ExpertShape& shape) {
    const int64_t d = shape.d, inner = has_hidden(shape) ? shape.h : shape.d;
    if (shape.activation == Activation::swiglu) add(kGate, inner, d);
    add(kUp, inner, d);
    if (has_hidden(shape)) add(kDown, d, inner);
    if (!shape.biases) return;
    add(kUpBias, 1, inner);
    if (has_hidden(shape)) add(kDownBias, 1, d);
  }
  void add(Part part, int64_t rows, int64_t cols) {
    constexpr int64_t kLine = 64 / int64_t{sizeof(float)};
    places[part] = {size, rows, cols};
    size += (rows * cols + kLine - 1) / kLine * kLine;
  }
  template <class T>
  tensor::View<T> view(T* memory, size_t part) const {
    const Place& place = places[part];
    if (memory == nullptr || place.rows == 0) return {};
    return {memory + place.begin, place.rows, place.cols};
  }

  std::array<Place, kParts> places;
  int64_t size = 0;
};

}  // namespace

Status validate(const ExpertShape& shape) {
  const std::string range = absl::StrFormat("1 to %d", kWidthMax);
  if (shape.d < 1 || shape.d > kWidthMax) return refuse("width", range, static_cast<double>(shape.d));
  if (has_hidden(shape) && (shape.h < 1 || shape.h > kWidthMax)) {
    return refuse("hidden width", range, static_cast<double>(shape.h));
  }
  if (shape.biases && shape.activation == Activation::swiglu) return refuse("biases", "off with swiglu", 1);
  if (!(shape.deviation >= 0.0f)) return refuse("deviation", "at least 0", shape.deviation);
  if (!(shape.deviation_down >= 0.0f)) return refuse("deviation_down", "at least 0", shape.deviation_down);
  return absl::OkStatus();
}

Expert::Expert(const ExpertShape& shape, Train train) : shape_(shape) {
  using tensor::Purpose;
  const int64_t size = Layout(shape).size;
  values_ = tensor::Buffer<float>(1, size, Purpose::weight);
  if (train == Train::no) return;
  gradients_ = tensor::Buffer<float>(1, size, Purpose::gradient);
  moments_ = tensor::Buffer<float>(2, size, Purpose::optimizer);
}

void Expert::initialise(std::string_view name, const Rng& rng) {
  const Layout layout(shape_);
  const float* down = layout.view(values_.data(), kDown).data;
  for (const ParameterView& p : parameters(name)) {
    if (p.rank == 1) {
      nn::fill(p, 0.0f);
    } else {
      nn::fill_normal(p, rng, p.value.data == down ? shape_.deviation_down : shape_.deviation);
    }
  }
}

void Expert::repack(const Compute& compute) {
  kernels::repack_expert(compute, shape_.activation, weights(), trained(), pack_);
}

kernels::ExpertWeights Expert::weights() const {
  const Layout layout(shape_);
  const auto view = [&](Part part) { return layout.view(values_.data(), part); };
  return {view(kGate), view(kUp), view(kDown), view(kUpBias), view(kDownBias)};
}

kernels::ExpertGradients Expert::gradients() {
  const Layout layout(shape_);
  const auto view = [&](Part part) { return layout.view(gradients_.data(), part); };
  return {view(kGate), view(kUp), view(kDown), view(kUpBias), view(kDownBias)};
}

std::vector<ParameterView> Expert::parameters(std::string_view name) {
  const Layout layout(shape_);
  std::vector<ParameterView> views;
  for (size_t part = 0; part < kParts; ++part) {
    if (layout.places[part].rows == 0) continue;
    ParameterView& view = views.emplace_back();
    view.name = name.empty() ? std::string(kPartNames[part]) : base::concat(name, ".", kPartNames[part]);
    view.rank = rank_of(part);
    view.value = layout.view(values_.data(), part);
    if (!trained()) continue;
    view.gradient = layout.view(gradients_.data(), part);
    view.first = layout.view(moments_.row(0), part);
    view.second = layout.view(moments_.row(1), part);
  }
  return views;
}

StatusOr<double> Expert::gradient_norm(const Compute& compute, std::string_view name) {
  return optim::gradient_norm(compute, parameters(name));
}

void Expert::step(const Compute& compute, const StepSettings& settings, double norm, float gradient_scale) {
  AGORA_CHECK(trained());
  ++version_;
  optim::adamw_step(compute,
                    {.learning_rate = settings.learning_rate,
                     .beta1 = settings.beta1,
                     .beta2 = settings.beta2,
                     .epsilon = settings.epsilon,
                     .weight_decay = settings.weight_decay,
                     .gradient_scale = gradient_scale *
                                       optim::clip_scale(norm * gradient_scale, settings.gradient_norm_max)},
                    settings.step, parameters());
  zero_gradients();
  repack(compute);
}

void Expert::zero_gradients() { std::ranges::fill(gradients_.flat(), 0.0f); }

}  // namespace agora::moe
