#include "agora/moe/local_experts.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "absl/strings/str_format.h"
#include "agora/base/check.h"
#include "agora/moe/finite.h"
#include "agora/moe/gate/descriptor.h"
#include "agora/moe/kept_rows.h"

namespace agora::moe {
namespace {

constexpr int64_t kLayersMax = 65536;
constexpr int64_t kTicketsMax = int64_t{1} << 20;
// Memory for more than this, times the rows at hand, is not used again for them: a ticket is counted by its
// rows, and may stay open for long.
constexpr int64_t kRoomierMax = 2;
constexpr size_t kTooRoomyMax = 4;  // for the next large calls

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

// Times 2^exponent, which moves no other bit.
void scale(std::span<float> values, int exponent) {
  const float factor = std::ldexp(1.0f, exponent);
  for (float& value : values) value *= factor;
}

}  // namespace

// What one mix() leaves behind for its backward: of the choices that arrived.
struct LocalExperts::Kept {
  LayerId layer;
  KeptRows x;
  Route route;
  std::vector<int32_t> choice;  // [choices] which of the whole route's choices each is
  int64_t choices_asked = 0;    // of the whole route
  Dispatch dispatch;
  std::vector<Served> served;  // the experts that have rows, in order
  kernels::ExpertSaved hidden;
  int64_t rows_max = 0;  // that its memory is for
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
  experts_.resize(static_cast<size_t>(config.layers * config.experts));
  touched_.assign(experts_.size(), 0);
  if (config.hold == Hold::none) return;
  for (int64_t l = 0; l < config.layers; ++l) {
    for (int64_t e = 0; e < config.experts; ++e) hold(LayerId{l}, ExpertId{e});
  }
}

LocalExperts::~LocalExperts() = default;

void LocalExperts::initialise(const Rng& rng) {
  for (int64_t i = 0; i < static_cast<int64_t>(experts_.size()); ++i) {
    if (experts_[i] != nullptr) experts_[i]->initialise(name_of(i), rng);
  }
  repack();
}

void LocalExperts::initialise(LayerId layer, ExpertId expert, const Rng& rng) {
  this->expert(layer, expert).initialise(name_of(index(layer, expert)), rng);
}

void LocalExperts::repack() {
  for (const auto& expert : experts_) {
    if (expert != nullptr) expert->repack(compute_);
  }
}

int64_t LocalExperts::index(LayerId layer, ExpertId expert) const {
  AGORA_CHECK(layer.value >= 0 && layer.value < config_.layers);
  AGORA_CHECK(expert.value >= 0 && expert.value < config_.experts);
  return layer.value * config_.experts + expert.value;
}

std::string LocalExperts::name_of(int64_t index) const {
  return absl::StrFormat("%s.%d.%s.%d", config_.name_prefix, index / config_.experts, config_.name_suffix,
                         index % config_.experts);
}

Expert& LocalExperts::hold(LayerId layer, ExpertId expert) {
  std::unique_ptr<Expert>& held = experts_[index(layer, expert)];
  if (held == nullptr) held = std::make_unique<Expert>(config_.shape, config_.train);
  return *held;
}

void LocalExperts::drop(LayerId layer, ExpertId expert) {
  const int64_t i = index(layer, expert);
  for (auto held = kept_.begin(); held != kept_.end();) {
    const auto next = std::next(held);
    const Kept& kept = *held->second;
    if (kept.layer == layer && kept.dispatch.rows(expert.value) > 0) release(Ticket{held->first});
    held = next;
  }
  experts_[i] = nullptr;
  touched_[i] = 0;
}

bool LocalExperts::holds(LayerId layer, ExpertId expert) const {
  return experts_[index(layer, expert)] != nullptr;
}

bool LocalExperts::touched(LayerId layer, ExpertId expert) const {
  return touched_[index(layer, expert)] != 0;
}

Expert& LocalExperts::expert(LayerId layer, ExpertId expert) {
  AGORA_CHECK(holds(layer, expert));
  return *experts_[index(layer, expert)];
}

std::vector<ParameterView> LocalExperts::parameters(LayerId layer, ExpertId expert) {
  return this->expert(layer, expert).parameters(name_of(index(layer, expert)));
}

std::vector<ParameterView> LocalExperts::parameters() {
  std::vector<ParameterView> all;
  for (int64_t i = 0; i < static_cast<int64_t>(experts_.size()); ++i) {
    if (experts_[i] != nullptr)
      std::ranges::move(experts_[i]->parameters(name_of(i)), std::back_inserter(all));
  }
  return all;
}

Status LocalExperts::check(LayerId layer, View<const float> x, const Route& route, View<const float> y,
                           int64_t y_rows) const {
  AGORA_RETURN_IF_ERROR(check_range("layer", layer.value, 0, config_.layers - 1));
  AGORA_RETURN_IF_ERROR(check_range("width of x", x.cols, config_.shape.d, config_.shape.d));
  AGORA_RETURN_IF_ERROR(check_range("width of y", y.cols, config_.shape.d, config_.shape.d));
  AGORA_RETURN_IF_ERROR(check_range("rows of y", y.rows, y_rows, y_rows));
  AGORA_RETURN_IF_ERROR(validate(route, x.rows, config_.experts));
  return check_finite(compute_, layer, "x", x);
}

// Keeps the part of the route that is held here, and says which choices that are.
std::vector<uint8_t> LocalExperts::keep_arrived(LayerId layer, const Route& route, Kept& kept) const {
  std::vector<uint8_t> arrived(static_cast<size_t>(route.choices()), 0);
  kept.layer = layer;
  kept.choices_asked = route.choices();
  kept.choice.clear();
  kept.route.first.assign(1, 0);
  kept.route.expert.clear();
  kept.route.weight.clear();
  for (int64_t t = 0; t < route.tokens(); ++t) {
    for (int32_t i = route.first[t]; i < route.first[t + 1]; ++i) {
      if (!holds(layer, ExpertId{route.expert[i]})) continue;
      arrived[i] = 1;
      kept.choice.push_back(i);
      kept.route.expert.push_back(route.expert[i]);
      kept.route.weight.push_back(route.weight[i]);
    }
    kept.route.first.push_back(static_cast<int32_t>(kept.choice.size()));
  }
  dispatch(kept.route, config_.experts, kept.dispatch);
  kept.served.clear();
  for (int64_t e = 0; e < config_.experts; ++e) {
    const int64_t rows = kept.dispatch.rows(e);
    if (rows > 0) kept.served.push_back({ExpertId{e}, rows, experts_[index(layer, ExpertId{e})]->version()});
  }
  return arrived;
}

std::vector<kernels::ExpertGroup> LocalExperts::groups(const Kept& kept) const {
  std::vector<kernels::ExpertGroup> groups;
  for (const Served& served : kept.served) {
    const int32_t first = kept.dispatch.first[served.expert.value];
    groups.push_back({.pack = &experts_[index(kept.layer, served.expert)]->pack(),
                      .tokens = kept.dispatch.token.data() + first,
                      .weights = kept.dispatch.weight.data() + first,
                      .rows = served.rows,
                      .first_entry = first});
  }
  return groups;
}

View<float> LocalExperts::run_forward(View<const float> x, Kept& kept, kernels::ExpertSaved* hidden) {
  const View<float> entries = entries_.shape(kept.dispatch.entries(), config_.shape.d);
  kernels::experts_forward(compute_, x, groups(kept), entries, hidden);
  return entries;
}

StatusOr<MixResult> LocalExperts::mix(LayerId layer, View<const float> x, const Route& route, Keep keep,
                                      Deadline, View<float> y) {
  AGORA_RETURN_IF_ERROR(check(layer, x, route, y, x.rows));
  const bool backward_follows = keep == Keep::for_backward;
  if (backward_follows && config_.train == Train::no) {
    return absl::FailedPreconditionError(
        "local experts: they were made without training; nothing can be kept");
  }
  std::unique_ptr<Kept> kept = take_spare(std::max(x.rows, route.choices()));
  MixResult result;
  result.arrived = keep_arrived(layer, route, *kept);
  const View<float> entries = run_forward(x, *kept, backward_follows ? &kept->hidden : nullptr);
  combine(compute_, kept->route, kept->dispatch, {config_.experts, config_.parts}, entries, y);
  if (backward_follows) {
    kept->x.keep(compute_, x);
    result.ticket = give_ticket(std::move(kept));
  } else {
    spare_.push_back(std::move(kept));
  }
  return result;
}

StatusOr<MixResult> LocalExperts::mix_entries(LayerId layer, View<const float> x, const Route& route,
                                              View<float> entries) {
  AGORA_RETURN_IF_ERROR(check(layer, x, route, entries, route.choices()));
  std::unique_ptr<Kept> kept = take_spare(std::max(x.rows, route.choices()));
  MixResult result;
  result.arrived = keep_arrived(layer, route, *kept);
  const View<float> rows = run_forward(x, *kept, nullptr);
  for (int64_t i = 0; i < entries.rows; ++i) {
    if (result.arrived[i] == 0) std::fill_n(entries.row(i), entries.cols, 0.0f);
  }
  for (int64_t i = 0; i < rows.rows; ++i) {
    std::copy_n(rows.row(kept->dispatch.entry_of_choice[i]), rows.cols, entries.row(kept->choice[i]));
  }
  spare_.push_back(std::move(kept));
  return result;
}

StatusOr<LocalExperts::Kept*> LocalExperts::kept(Ticket ticket) const {
  const auto held = kept_.find(ticket.value);
  if (held != kept_.end()) return held->second.get();
  return absl::NotFoundError(
      absl::StrFormat("ticket %d is unknown, used, or older than the %d that are kept; call mix again",
                      ticket.value, config_.tickets_max));
}

StatusOr<std::span<const Served>> LocalExperts::served(Ticket ticket) const {
  AGORA_ASSIGN_OR_RETURN(const Kept* kept, this->kept(ticket));
  return std::span<const Served>(kept->served);
}

Status LocalExperts::check_backward(const Kept& kept, View<const float> dy, View<const float> dx,
                                    size_t dweights) const {
  const int64_t tokens = kept.route.tokens();
  const int64_t d = config_.shape.d;
  AGORA_RETURN_IF_ERROR(check_range("rows of dy", dy.rows, tokens, tokens));
  AGORA_RETURN_IF_ERROR(check_range("rows of dx", dx.rows, tokens, tokens));
  AGORA_RETURN_IF_ERROR(check_range("width of dy", dy.cols, d, d));
  AGORA_RETURN_IF_ERROR(check_range("width of dx", dx.cols, d, d));
  AGORA_RETURN_IF_ERROR(
      check_range("dweights", static_cast<int64_t>(dweights), kept.choices_asked, kept.choices_asked));
  return check_finite(compute_, kept.layer, "dy", dy);
}

Status LocalExperts::mix_backward(Ticket ticket, View<const float> dy, Deadline, View<float> dx,
                                  std::span<float> dweights) {
  return mix_backward(
      ticket, dy, [](const Served&) { return 0; }, dx, dweights);
}

// Halving the gate's weights of an expert's entries halves its gradients and the entries' dx, which are
// doubled back.
Status LocalExperts::mix_backward(Ticket ticket, View<const float> dy, HalvingsOf halvings_of, View<float> dx,
                                  std::span<float> dweights, const std::function<void()>& on_rows) {
  AGORA_ASSIGN_OR_RETURN(Kept* const held, this->kept(ticket));
  Kept& kept = *held;
  AGORA_RETURN_IF_ERROR(check_backward(kept, dy, dx, dweights.size()));

  const std::vector<kernels::ExpertGroup> groups = this->groups(kept);
  std::vector<kernels::ExpertGradients> gradients(groups.size());
  std::vector<int> halvings(groups.size(), 0);
  for (size_t g = 0; g < groups.size(); ++g) {
    const int n = halvings_of(kept.served[g]);
    if (n == kNoGradient) continue;
    const int64_t i = index(kept.layer, kept.served[g].expert);
    touched_[i] = 1;
    gradients[g] = experts_[i]->gradients();
    halvings[g] = n;
    scale(std::span(kept.dispatch.weight).subspan(groups[g].first_entry, groups[g].rows), -n);
  }
  std::vector<float> dentries(static_cast<size_t>(kept.route.choices()));
  const View<float> entries = entries_.shape(kept.route.choices(), config_.shape.d);
  const auto give_rows = [&] {
    for (size_t g = 0; g < groups.size(); ++g) {
      if (halvings[g] == 0) continue;
      const View<float> rows = entries.rows_from(groups[g].first_entry, groups[g].rows);
      scale({rows.data, static_cast<size_t>(rows.size())}, halvings[g]);
    }
    combine(compute_, kept.route, kept.dispatch, {config_.experts, config_.parts}, entries, dx);
    std::fill(dweights.begin(), dweights.end(), 0.0f);
    for (size_t i = 0; i < dentries.size(); ++i) {
      dweights[kept.choice[i]] = dentries[kept.dispatch.entry_of_choice[i]];
    }
    if (on_rows) on_rows();
  };
  const View<const float> x = kept.x.rows(compute_, rows_);
  if (on_rows) {
    kernels::experts_backward(compute_, x, groups, kept.hidden, dy, gradients, entries, dentries, give_rows);
  } else {
    kernels::experts_backward(compute_, x, groups, kept.hidden, dy, gradients, entries, dentries);
    give_rows();
  }
  release(ticket);
  return absl::OkStatus();
}

void LocalExperts::release(Ticket ticket) {
  const auto held = kept_.find(ticket.value);
  if (held == kept_.end()) return;
  spare_.push_back(std::move(held->second));
  kept_.erase(held);
}

// The roomiest that is not too roomy.
std::unique_ptr<LocalExperts::Kept> LocalExperts::take_spare(int64_t rows) {
  const auto room = [&](const auto& spare) {
    return spare->rows_max > kRoomierMax * rows ? -1 : spare->rows_max;
  };
  const auto best = std::ranges::max_element(spare_, {}, room);
  const bool none = best == spare_.end() || room(*best) < 0;
  std::unique_ptr<Kept> kept = none ? std::make_unique<Kept>() : std::move(*best);
  if (!none) spare_.erase(best);
  if (none && spare_.size() >= kTooRoomyMax) spare_.erase(spare_.begin());
  kept->rows_max = std::max(kept->rows_max, rows);
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
    if (touched_[i] != 0) norms[i] = experts_[i]->gradient_norm(alone, name_of(i));
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

void LocalExperts::drop_gradients(LayerId layer, ExpertId expert) {
  this->expert(layer, expert).zero_gradients();
  touched_[index(layer, expert)] = 0;
}

Status LocalExperts::step(LayerId layer, ExpertId expert, const StepSettings& settings,
                          float gradient_scale) {
  Expert& held = this->expert(layer, expert);
  const StatusOr<double> norm = held.gradient_norm(compute_, name_of(index(layer, expert)));
  if (!norm.ok()) {
    drop_gradients(layer, expert);
    return norm.status();
  }
  held.step(compute_, settings, *norm, gradient_scale);
  touched_[index(layer, expert)] = 0;
  return absl::OkStatus();
}

}  // namespace agora::moe
