#include "agora/moe/gate/gate.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_format.h"
#include "agora/base/check.h"
#include "agora/moe/finite.h"
#include "agora/moe/gate/exact.h"
#include "agora/moe/gate/noise.h"
#include "agora/moe/gate/score.h"
#include "agora/moe/gate/select.h"

namespace agora::moe {
namespace {

constexpr int64_t kTokensPerPiece = 64;  // some 10 microseconds of work at C = 16

// The tokens' choices are all of one length, or whatever expert_choice found.
void open_route(int64_t tokens, int64_t chosen, Route& route) {
  route.first.resize(static_cast<size_t>(tokens) + 1);
  for (int64_t t = 0; t <= tokens; ++t) route.first[t] = static_cast<int32_t>(t * chosen);
  route.expert.resize(static_cast<size_t>(tokens * chosen));
}

}  // namespace

StatusOr<Gate> Gate::create(const std::string& name, const GateDescriptor& descriptor, int64_t d,
                            Train train) {
  AGORA_RETURN_IF_ERROR(validate(descriptor));
  if (d < 1)
    return absl::InvalidArgumentError(absl::StrFormat("gate: width must be at least 1, it is %d", d));
  return Gate(name, descriptor, d, train);
}

Gate::Gate(const std::string& name, const GateDescriptor& descriptor, int64_t d, Train train)
    : descriptor_(descriptor) {
  const int64_t candidates = descriptor.candidates();
  const nn::Bias bias = descriptor.linear_bias ? nn::Bias::yes : nn::Bias::no;
  router_ = std::make_unique<PartialLinear>(name + ".gate", candidates, d, bias, train);
  if (descriptor.noise > 0.0f) {
    noise_ = std::make_unique<PartialLinear>(name + ".gate.noise", candidates, d, nn::Bias::no, train);
  }
  if (descriptor.selection_bias) {
    bias_ = std::make_unique<Parameter>(
        Parameter::vector(name + ".gate.e_score_correction_bias", candidates, Train::no));
  }
  if (descriptor.entry_bias) {
    entry_ = std::make_unique<Parameter>(
        Parameter::vector(name + ".gate.entry_bias", descriptor.experts, Train::no));
  }
  open_.resize(static_cast<size_t>(candidates));
  std::iota(open_.begin(), open_.end(), 0);
}

void Gate::initialise(const Rng& rng, float deviation) {
  router_->whole().initialise(rng, deviation);
  if (noise_ != nullptr) nn::fill(noise_->whole().weight(), 0.0f);
  if (bias_ != nullptr) nn::fill(*bias_, 0.0f);
  if (entry_ != nullptr) nn::fill(*entry_, 0.0f);
}

// What needs no call is never closed, and there is always a column.
void Gate::take_open_candidates() {
  open_.clear();
  for (int32_t c = 0; c < descriptor_.candidates(); ++c) {
    if (c >= descriptor_.experts || entry_->value.flat()[c] > kClosed) open_.push_back(c);
  }
  if (open_.empty()) open_.push_back(0);
  router_->choose(open_);
  if (noise_ != nullptr) noise_->choose(open_);
}

void Gate::repack(const Compute& compute) {
  if (entry_ != nullptr) take_open_candidates();
  router_->repack(exact(compute));
  if (noise_ != nullptr) noise_->repack(exact(compute));
}

std::span<const float> Gate::selection_bias_values() const {
  return bias_ == nullptr ? std::span<const float>() : std::as_const(*bias_).value.flat();
}

void Gate::append_parameters(std::vector<Parameter*>& to) {
  router_->whole().append_parameters(to);
  if (noise_ != nullptr) noise_->whole().append_parameters(to);
}

Status Gate::route(const Compute& compute, View<const float> x, GateMode mode, const Rng& rng, Route& route,
                   GateSaved& saved) const {
  AGORA_CHECK_EQ(x.cols, width());
  const auto columns = static_cast<int64_t>(open_.size());
  if (x.rows * columns >= kGateScoresMax) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: expected less than %d scores in one batch, found %d tokens for %d candidates; take fewer tokens",
        router_->whole().weight().name, kGateScoresMax, x.rows, columns));
  }
  name_columns(saved);
  router_->forward(exact(compute), x, saved.logits.shape(x.rows, columns));
  const bool noisy = noise_ != nullptr && mode == GateMode::train;
  saved.noise_scale.shape(noisy ? x.rows : 0, columns);
  saved.noise_drawn.shape(noisy ? x.rows : 0, columns);
  if (noisy) add_noise(compute, x, rng, saved);
  AGORA_RETURN_IF_ERROR(score_tokens(compute, saved));
  select(compute, saved, route);
  weigh_tokens(compute, saved, route);
  for (int32_t& column : route.expert) column = open_[column];  // until here choices were columns
  return absl::OkStatus();
}

void Gate::name_columns(GateSaved& saved) const {
  saved.candidate = open_;
  saved.bias.clear();
  if (bias_ == nullptr && entry_ == nullptr) return;
  for (const int32_t c : open_) {
    float bias = bias_ == nullptr ? 0.0f : bias_->value.flat()[c];
    if (entry_ != nullptr && c < descriptor_.experts) bias += entry_->value.flat()[c];
    saved.bias.push_back(bias);
  }
}

void Gate::add_noise(const Compute& compute, View<const float> x, const Rng& rng, GateSaved& saved) const {
  noise_->forward(exact(compute), x, saved.noise_scale.view());
  compute.pool->run_ranges(x.rows, kTokensPerPiece, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      Rng of_token = rng.fork(static_cast<uint64_t>(t));
      draw_noise(of_token, saved.noise_drawn.view().row_span(t));
      moe::add_noise(descriptor_.noise, saved.noise_scale.view().row_span(t),
                     saved.noise_drawn.view().row_span(t), saved.logits.view().row_span(t));
    }
  });
}

Status Gate::score_tokens(const Compute& compute, GateSaved& saved) const {
  const View<const float> logits = saved.logits.view();
  const View<float> scores =
      saved.scores.shape(descriptor_.score_before_selection ? logits.rows : 0, logits.cols);
  const int64_t bad = first_row_not_finite(compute, logits);
  if (bad < logits.rows) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: the scores of token %d are not finite; its row, or the gate's weights, hold a "
                        "NaN or an infinity",
                        router_->whole().weight().name, bad));
  }
  compute.pool->run_ranges(scores.rows, kTokensPerPiece, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      score(descriptor_.score, logits.row_span(t), scores.row_span(t));
    }
  });
  return absl::OkStatus();
}

void Gate::select(const Compute& compute, const GateSaved& saved, Route& route) const {
  const View<const float> logits = saved.logits.view();
  const View<const float> source = descriptor_.score_before_selection ? saved.scores.view() : logits;
  BatchRows<float> keys(Purpose::scratch);
  keys.shape(logits.rows, logits.cols);
  const bool by_expert = descriptor_.selection == Selection::expert_choice;
  if (!by_expert) open_route(logits.rows, std::min(descriptor_.chosen, logits.cols), route);
  compute.pool->run_ranges(logits.rows, kTokensPerPiece, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const std::span<float> key = keys.view().row_span(t);
      for (int64_t c = 0; c < logits.cols; ++c) {
        key[c] = source.row(t)[c] + (saved.bias.empty() ? 0.0f : saved.bias[c]);
      }
      if (by_expert) continue;
      if (descriptor_.selection == Selection::grouped_top_k) {
        grouped_top_k(descriptor_, key, route.experts_of(t));
      } else {
        top_k(key, route.experts_of(t));
      }
    }
  });
  if (by_expert) expert_choice(keys.view(), expert_choice_tokens(descriptor_, logits.rows), route);
}

void Gate::weigh_tokens(const Compute& compute, const GateSaved& saved, Route& route) const {
  const View<const float> logits = saved.logits.view();
  const View<const float> scores = saved.scores.view();
  route.weight.resize(route.expert.size());
  route.normalised = weights_are_normalised(descriptor_);
  compute.pool->run_ranges(logits.rows, kTokensPerPiece, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const std::span<const int32_t> chosen = route.experts_of(t);
      weigh(descriptor_, logits.row_span(t), scores.rows > 0 ? scores.row_span(t) : std::span<const float>(),
            chosen, std::span(route.weight).subspan(route.first[t], chosen.size()));
    }
  });
}

}  // namespace agora::moe
