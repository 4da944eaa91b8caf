#include "agora/moe/local_experts.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "agora/base/check.h"
#include "agora/moe/finite.h"
#include "agora/moe/gate/descriptor.h"
#include "agora/moe/kept_rows.h"

namespace agora::moe {
namespace {

constexpr int64_t kLayersMax = 65536;
constexpr int64_t kTicketsMax = int64_t{1} << 20;

Status check_range(std::string_view field, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("local experts: %s must be %d to %d, it is %d", field, least, most, value));
}

Status check_finite(const Compute& compute, LayerId layer, std::string_view name, View<const float> rows) {
  const int64_t bad = first_row_not_finite(compute, rows);
  if (bad == rows.rows) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("layer %d: row %d of %s holds a NaN or an infinity", layer.value, bad, name));
}

}  // namespace

// What one mix() leaves behind for its backward.
struct LocalExperts::Kept {
  LayerId layer;
  KeptRows x;
  Route route;
  Dispatch dispatch;
  kernels::ExpertSaved hidden;
};

StatusOr<std::unique_ptr<LocalExperts>> LocalExperts::create(const Compute& compute,
                                                             const LocalExpertsConfig& config) {
  AGORA_RETURN_IF_ERROR(check_range("layers", config.layers, 1, kLayersMax));
  AGORA_RETURN_IF_ERROR(check_range("experts", config.experts, 1, kGateCandidatesMax));
  AGORA_RETURN_IF_ERROR(check_range("parts", config.parts, 1, config.experts));
  AGORA_RETURN_IF_ERROR(check_range("tickets_max", config.tickets_max, 1, kTicketsMax));
  AGORA_RETURN_IF_ERROR(validate(config.shape));
  return std::unique_ptr<LocalExperts>(new LocalExperts(compute, config));
}

LocalExperts::LocalExperts(const Compute& compute, const LocalExpertsConfig& config)
    : compute_(compute), config_(config) {
  for (int64_t l = 0; l < config.layers; ++l) {
    for (int64_t e = 0; e < config.experts; ++e) {
      experts_.push_back(std::make_unique<Expert>(
          absl::StrFormat("%s.%d.%s.%d", config.name_prefix, l, config.name_suffix, e), config.shape,
          config.train));
    }
  }
  touched_.assign(experts_.size(), 0);
}

LocalExperts::~LocalExperts() = default;

void LocalExperts::initialise(const Rng& rng) {
  for (const auto& expert : experts_) expert->initialise(rng);
  repack();
}

void LocalExperts::repack() {
  for (const auto& expert : experts_) expert->repack(compute_);
}

Expert& LocalExperts::expert(LayerId layer, ExpertId expert) {
  AGORA_CHECK(layer.value >= 0 && layer.value < config_.layers);
  AGORA_CHECK(expert.value >= 0 && expert.value < config_.experts);
  return *experts_[layer.value * config_.experts + expert.value];
}

void LocalExperts::append_parameters(std::vector<Parameter*>& to) {
  for (const auto& expert : experts_) expert->append_parameters(to);
}

Status LocalExperts::check(LayerId layer, View<const float> x, const Route& route,
                           View<const float> y) const {
  AGORA_RETURN_IF_ERROR(check_range("layer", layer.value, 0, config_.layers - 1));
  AGORA_RETURN_IF_ERROR(check_range("width of x", x.cols, config_.shape.d, config_.shape.d));
  AGORA_RETURN_IF_ERROR(check_range("width of y", y.cols, config_.shape.d, config_.shape.d));
  AGORA_RETURN_IF_ERROR(check_range("rows of y", y.rows, x.rows, x.rows));
  AGORA_RETURN_IF_ERROR(validate(route, x.rows, config_.experts));
  return check_finite(compute_, layer, "x", x);
}

std::vector<kernels::ExpertGroup> LocalExperts::groups(LayerId layer, const Dispatch& dispatch) const {
  std::vector<kernels::ExpertGroup> groups;
  for (int64_t e = 0; e < config_.experts; ++e) {
    if (dispatch.rows(e) == 0) continue;
    const int32_t first = dispatch.first[e];
    groups.push_back({.pack = &experts_[layer.value * config_.experts + e]->pack(),
                      .tokens = dispatch.token.data() + first,
                      .weights = dispatch.weight.data() + first,
                      .rows = dispatch.rows(e),
                      .first_entry = first});
  }
  return groups;
}

StatusOr<MixResult> LocalExperts::mix(LayerId layer, View<const float> x, const Route& route, Keep keep,
                                      Deadline, View<float> y) {
  AGORA_RETURN_IF_ERROR(check(layer, x, route, y));
  const bool backward_follows = keep == Keep::for_backward;
  if (backward_follows && config_.train == Train::no) {
    return absl::FailedPreconditionError(
        "local experts: they were made without training; nothing can be kept");
  }
  std::unique_ptr<Kept> kept = take_spare();
  dispatch(route, config_.experts, kept->dispatch);
  const View<float> entries = entries_.shape(kept->dispatch.entries(), config_.shape.d);
  kernels::experts_forward(compute_, x, groups(layer, kept->dispatch), entries,
                           backward_follows ? &kept->hidden : nullptr);
  combine(compute_, route, kept->dispatch, {config_.experts, config_.parts}, entries, y);

  MixResult result;
  result.arrived.assign(static_cast<size_t>(route.choices()), 1);
  if (backward_follows) {
    kept->layer = layer;
    kept->route = route;
    kept->x.keep(compute_, x);
    result.ticket = give_ticket(std::move(kept));
  } else {
    spare_.push_back(std::move(kept));
  }
  return result;
}

Status LocalExperts::mix_backward(Ticket ticket, View<const float> dy, Deadline, View<float> dx,
                                  std::span<float> dweights) {
  const auto held = kept_.find(ticket.value);
  if (held == kept_.end()) {
    return absl::NotFoundError(
        absl::StrFormat("ticket %d is unknown, used, or older than the %d that are kept; call mix again",
                        ticket.value, config_.tickets_max));
  }
  Kept& kept = *held->second;
  const int64_t tokens = kept.route.tokens();
  const int64_t d = config_.shape.d;
  AGORA_RETURN_IF_ERROR(check_range("rows of dy", dy.rows, tokens, tokens));
  AGORA_RETURN_IF_ERROR(check_range("rows of dx", dx.rows, tokens, tokens));
  AGORA_RETURN_IF_ERROR(check_range("width of dy", dy.cols, d, d));
  AGORA_RETURN_IF_ERROR(check_range("width of dx", dx.cols, d, d));
  const auto choices = static_cast<int64_t>(dweights.size());
  AGORA_RETURN_IF_ERROR(check_range("dweights", choices, kept.route.choices(), kept.route.choices()));
  AGORA_RETURN_IF_ERROR(check_finite(compute_, kept.layer, "dy", dy));

  std::vector<kernels::ExpertGradients> gradients;
  for (int64_t e = 0; e < config_.experts; ++e) {
    if (kept.dispatch.rows(e) == 0) continue;
    const int64_t index = kept.layer.value * config_.experts + e;
    touched_[index] = 1;
    gradients.push_back(experts_[index]->gradients());
  }
  std::vector<float> dentries(dweights.size());
  const View<float> entries = entries_.shape(choices, d);
  kernels::experts_backward(compute_, kept.x.rows(compute_, rows_), groups(kept.layer, kept.dispatch),
                            kept.hidden, dy, gradients, entries, dentries);
  combine(compute_, kept.route, kept.dispatch, {config_.experts, config_.parts}, entries, dx);
  for (int64_t i = 0; i < choices; ++i) dweights[i] = dentries[kept.dispatch.entry_of_choice[i]];
  release(ticket);
  return absl::OkStatus();
}

void LocalExperts::release(Ticket ticket) {
  const auto held = kept_.find(ticket.value);
  if (held == kept_.end()) return;
  spare_.push_back(std::move(held->second));
  kept_.erase(held);
}

std::unique_ptr<LocalExperts::Kept> LocalExperts::take_spare() {
  if (spare_.empty()) return std::make_unique<Kept>();
  std::unique_ptr<Kept> kept = std::move(spare_.back());
  spare_.pop_back();
  return kept;
}

Ticket LocalExperts::give_ticket(std::unique_ptr<Kept> kept) {
  if (tickets_held() == config_.tickets_max) release(Ticket{kept_.begin()->first});
  const Ticket ticket{++last_ticket_};
  kept_.emplace(ticket.value, std::move(kept));
  return ticket;
}

// An expert is a piece: its loops are too short to share.
Status LocalExperts::end_step(const StepSettings& settings) {
  base::ThreadPool here(1);
  const Compute alone{compute_.table, &here, compute_.precision};
  const auto count = static_cast<int64_t>(experts_.size());
  std::vector<StatusOr<double>> norms(experts_.size(), 0.0);
  compute_.pool->run(count, [&](int64_t i) {
    if (touched_[i] != 0) norms[i] = experts_[i]->gradient_norm(alone);
  });
  for (const StatusOr<double>& norm : norms) {
    if (norm.ok()) continue;
    drop_gradients();
    return norm.status();
  }
  compute_.pool->run(count, [&](int64_t i) {
    if (touched_[i] != 0) experts_[i]->step(alone, settings, *norms[i]);
  });
  touched_.assign(experts_.size(), 0);
  return absl::OkStatus();
}

void LocalExperts::drop_gradients() {
  for (size_t i = 0; i < experts_.size(); ++i) {
    if (touched_[i] != 0) experts_[i]->zero_gradients();
  }
  touched_.assign(experts_.size(), 0);
}

}  // namespace agora::moe
