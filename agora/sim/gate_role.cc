#include "agora/sim/gate_role.h"

#include <algorithm>
#include <utility>

#include "agora/base/check.h"

namespace agora::sim {
namespace {

constexpr int64_t kStepsOfAValue = 64;  // rows hold n / 64 with |n| <= 64: exact in bf16

float draw_value(Rng& rng) {
  const auto n = static_cast<int64_t>(rng.below(2 * kStepsOfAValue + 1)) - kStepsOfAValue;
  return static_cast<float>(n) / static_cast<float>(kStepsOfAValue);
}

}  // namespace

struct GateRole::Question {
  uint64_t number = 0;
  bool training = false;
  LayerId layer;
  tensor::Buffer<float> x, y;
  moe::Route route;
};

// One mix() of one kind is told of just before it returns: to whoever asked last.
class GateRole::Seen final : public swarm::MixObserver {
 public:
  void on_mix(LayerId, const moe::Route&, std::span<const swarm::ServedChoice> served) override {
    served_.assign(served.begin(), served.end());
  }
  std::vector<swarm::ServedChoice> take() { return std::exchange(served_, {}); }

 private:
  std::vector<swarm::ServedChoice> served_;
};

GateRole::GateRole(Process& process, const swarm::SwarmSpec& spec, const GateSettings& settings)
    : process_(process),
      spec_(spec),
      settings_(settings),
      finder_(*process.loop, *process.directory, spec, process.rng.fork("finder")),
      seen_training_(std::make_unique<Seen>()),
      seen_interactive_(std::make_unique<Seen>()),
      training_(*process.loop, *process.transport, finder_, spec,
                {.priority = peers::Priority::training,
                 .attempt_ns = settings.attempt_ns,
                 .tickets_max = settings.tickets_max,
                 .seed = process.rng.next_u64(),
                 .run = static_cast<uint64_t>(process.loop->world_now_ns()) + 1,
                 .observer = seen_training_.get()}),
      interactive_(*process.loop, *process.transport, finder_, spec,
                   {.priority = peers::Priority::interactive,
                    .exact = true,
                    .attempt_ns = settings.attempt_ns,
                    .seed = process.rng.next_u64(),
                    .observer = seen_interactive_.get()}),
      patient_(training_, *process.loop, nullptr, {.patience_ns = settings.deadline_ns}),
      until_stopped_(*process.loop) {
  for (int i = 0; i < settings.callers; ++i) {
    process.loop->start_caller([this, seed = process.rng.next_u64()] { call_on(seed); });
  }
}

GateRole::~GateRole() = default;

// It has no trunk to average: who calls itself a trainer is asked for one in every round.
void GateRole::describe(swarm::PeerState& state) const { state.server = true; }

void GateRole::leave(std::function<void()> done) {
  stop_callers();
  done();
}

void GateRole::stop_callers() {
  patient_.stop();
  until_stopped_.stop();
}

bool GateRole::think(int64_t ns) { return until_stopped_.rest(ns) && !process_.loop->dead(); }

void GateRole::call_on(uint64_t seed) {
  Rng rng(seed);
  while (think(static_cast<int64_t>(rng.next_u64() % static_cast<uint64_t>(2 * settings_.think_ns + 1)))) {
    ask(rng);
  }
}

void GateRole::draw(Rng& rng, Question& question) const {
  question.layer = LayerId(rng.below(static_cast<uint32_t>(spec_.layers)));
  question.x = tensor::Buffer<float>(settings_.rows, spec_.shape.d, tensor::Purpose::scratch);
  question.y = tensor::Buffer<float>(settings_.rows, spec_.shape.d, tensor::Purpose::scratch);
  for (float& value : question.x.flat()) value = draw_value(rng);
  moe::Route& route = question.route;
  route.normalised = true;
  route.first.push_back(0);
  for (int64_t t = 0; t < settings_.rows; ++t) {
    std::vector<int32_t> chosen;
    if (settings_.hot_expert >= 0 && rng.below(1'000'000) < settings_.hot_ppm) {
      chosen.push_back(settings_.hot_expert);
    }
    while (std::ssize(chosen) < std::min(settings_.chosen, spec_.experts)) {
      const auto e = static_cast<int32_t>(rng.below(static_cast<uint32_t>(spec_.experts)));
      if (std::ranges::find(chosen, e) == chosen.end()) chosen.push_back(e);
    }
    std::ranges::sort(chosen);
    for (const int32_t e : chosen) {
      route.expert.push_back(e);
      route.weight.push_back(1.0f / static_cast<float>(settings_.chosen));
    }
    route.first.push_back(static_cast<int32_t>(route.expert.size()));
  }
  if (question.training) return;
  for (int64_t t = 0; t < settings_.rows; ++t) {  // who stands in for a lost expert: any that was not chosen
    int32_t e = -1;
    const std::span<const int32_t> own(route.expert.data() + route.first[t],
                                       route.expert.data() + route.first[t + 1]);
    for (int32_t other = 0; other < spec_.experts && e < 0; ++other) {
      if (std::ranges::find(own, other) == own.end()) e = other;
    }
    route.runner_up.push_back(e);
  }
}

void GateRole::ask(Rng& rng) {
  Question question;
  question.number = ++questions_;
  question.training = rng.below(1'000'000) < settings_.training_ppm;
  draw(rng, question);
  ++counters_.asked;
  const PeerLoop& loop = *process_.loop;
  const int64_t began_ns = loop.now_ns(), asked_ns = loop.world_now_ns();
  moe::Experts& experts = question.training ? static_cast<moe::Experts&>(patient_) : interactive_;
  const moe::Keep keep = question.training ? moe::Keep::for_backward : moe::Keep::nothing;
  const auto mixed = experts.mix(question.layer, question.x.view(), question.route, keep,
                                 moe::Deadline{began_ns + settings_.deadline_ns}, question.y.view());
  if (loop.dead()) return;
  const std::vector<swarm::ServedChoice> served =
      (question.training ? *seen_training_ : *seen_interactive_).take();
  AnswerFact fact;
  fact.question = question.number;
  fact.training = question.training;
  fact.status = mixed.status();
  fact.asked_ns = asked_ns;
  fact.took_ns = loop.now_ns() - began_ns;
  fact.layer = question.layer;
  fact.route = &question.route;
  fact.x = question.x.view();
  fact.y = question.y.view();
  if (!question.training) {
    const swarm::MixReport report = interactive_.take_report();
    fact.mass = report.gate_mass;
    fact.mass_lost = report.gate_mass_lost;
  }
  if (mixed.ok()) {
    ++counters_.answered;
    fact.arrived = mixed->arrived;
    fact.served = served;
    for (size_t i = 0; question.training && i < mixed->arrived.size(); ++i) {
      fact.mass += question.route.weight[i];
      if (mixed->arrived[i] == 0) fact.mass_lost += question.route.weight[i];
    }
  } else {
    ++counters_.failed;
  }
  process_.teller.tell(&History::on_answer, fact);
  if (mixed.ok() && question.training) send_gradient(rng, question, mixed->ticket);
}

void GateRole::send_gradient(Rng& rng, Question& question, moe::Ticket ticket) {
  for (float& value : question.y.flat()) value = draw_value(rng) / kStepsOfAValue;  // dy from now on
  tensor::Buffer<float> dx(settings_.rows, spec_.shape.d, tensor::Purpose::scratch);
  std::vector<float> dweights(question.route.expert.size());
  ++counters_.gradients;
  GradientFact fact;
  fact.question = question.number;
  fact.sent_ns = process_.loop->world_now_ns();
  fact.status = training_.mix_backward(ticket, question.y.view(),
                                       moe::Deadline{process_.loop->now_ns() + settings_.deadline_ns},
                                       dx.view(), dweights);
  const swarm::MixReport report = training_.take_report();  // of this one: nobody else ran since it returned
  fact.lost = report.gradients_lost;
  fact.refused = report.updates_refused;
  if (!fact.status.ok()) ++counters_.gradients_failed;
  process_.teller.tell(&History::on_gradient, fact);
}

}  // namespace agora::sim
