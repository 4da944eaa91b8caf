#include "agora/swarm/host/host_service.h"

#include <algorithm>
#include <span>
#include <utility>

#include "absl/strings/str_format.h"
#include "agora/base/rng.h"
#include "agora/swarm/host/mix_batch.h"
#include "agora/swarm/wire/method.h"

namespace agora::swarm {
namespace {

using peers::IncomingCall;

// Backward reads what forward reads, twice, and writes as much: about three forwards.
constexpr int64_t kBackwardRows = 3;
// Until something was measured: a row of an expert of D = 256, H = 1024 on one core.
constexpr int64_t kRowNsAtFirst = 5'000;

Status stopping() { return absl::UnavailableError("the host is stopping; ask another"); }

// See UpdateKey.
uint32_t piece_of(const moe::Route& route) {
  uint64_t hash = 0;
  for (const std::vector<int32_t>* numbers : {&route.first, &route.expert}) {
    for (const int32_t number : *numbers) hash = mix_bits(hash ^ static_cast<uint64_t>(number));
  }
  return static_cast<uint32_t>(hash);
}

}  // namespace

struct HostService::State : std::enable_shared_from_this<HostService::State> {
  State(Executor& e, HeldExperts& h, const SwarmSpec& s, const HostConfig& c)
      : executor(e),
        held(h),
        spec(s),
        config(c),
        queue(c.queue),
        tickets(c.tickets, Rng(c.seed)),
        batch(s.shape.d) {}

  // On the transport's thread.
  void take_call(std::shared_ptr<IncomingCall> call);
  StatusOr<Work> read(const std::shared_ptr<IncomingCall>& call) const;
  Status check_shape(const Work& work) const;
  void enqueue(Work work);

  // In the executor.
  void run_next();
  void run(std::vector<Work> work);
  void run_mix(std::vector<Work>& work);
  void run_backward(Work& work);
  Status backward(IncomingCall& call, const BackwardRequest& request);
  StatusOr<moe::Ticket> rows_again(const BackwardRequest& request);
  void release(moe::Ticket ticket, const peers::PeerId& caller);
  void forget(const std::vector<moe::Ticket>& kept);
  void step_what_is_due();

  void reply(IncomingCall& call, const Status& status, peers::Payload payload = {});
  void refuse(IncomingCall& call, const Status& status, uint64_t HostCounters::*counter);
  void add(uint64_t HostCounters::*counter, uint64_t count = 1) {
    base::MutexLock lock(mutex);
    counters.*counter += count;
  }
  uint32_t load_us() const;
  void span(const IncomingCall& call, const char* what, int64_t begin_ns, int64_t rows);
  int64_t now_ns() const { return executor.loop().now_ns(); }

  Executor& executor;
  HeldExperts& held;
  const SwarmSpec spec;
  const HostConfig config;

  mutable base::Mutex mutex;
  WorkQueue queue ABSL_GUARDED_BY(mutex);
  HostCounters counters ABSL_GUARDED_BY(mutex);
  double row_ns ABSL_GUARDED_BY(mutex) = kRowNsAtFirst;  // running mean
  bool closed ABSL_GUARDED_BY(mutex) = false;
  bool posted ABSL_GUARDED_BY(mutex) = false;  // run_next() is: once, however many calls wait

  // The executor's turn guards the rest.
  TicketTable tickets;
  MixBatch batch;
  moe::BatchRows<float> dy{tensor::Purpose::scratch}, dx{tensor::Purpose::scratch},
      x{tensor::Purpose::scratch}, y{tensor::Purpose::scratch};
  base::TimerId step_timer;
};

HostService::HostService(peers::Transport& transport, Executor& executor, HeldExperts& held,
                         const SwarmSpec& spec, const HostConfig& config)
    : state_(std::make_shared<State>(executor, held, spec, config)) {
  for (const peers::Method method : {kMix, kMixBackward, kRelease, kEndStep}) {
    transport.serve(
        method, [state = state_](std::shared_ptr<IncomingCall> call) { state->take_call(std::move(call)); });
  }
}

// What still waits goes: a call holds its transport, which holds the handlers, they this state, it the call.
HostService::~HostService() {
  std::vector<Work> waiting;
  {
    base::MutexLock lock(state_->mutex);
    state_->closed = true;
    waiting = state_->queue.take_all();
  }
  state_->executor.wait_for_turn();
  for (const Work& work : waiting) state_->reply(*work.call, stopping());
}

HostCounters HostService::counters() const {
  base::MutexLock lock(state_->mutex);
  return state_->counters;
}

uint32_t HostService::load_us() const { return state_->load_us(); }

uint32_t HostService::State::load_us() const {
  base::MutexLock lock(mutex);
  return static_cast<uint32_t>(std::min(static_cast<double>(queue.rows()) * row_ns / 1000.0, 4e9));
}

void HostService::State::reply(IncomingCall& call, const Status& status, peers::Payload payload) {
  call.reply(status, std::move(payload), load_us());
}

void HostService::State::refuse(IncomingCall& call, const Status& status, uint64_t HostCounters::*counter) {
  add(counter);
  reply(call, status);
}

void HostService::State::span(const IncomingCall& call, const char* what, int64_t begin_ns, int64_t rows) {
  if (config.trace == nullptr || call.trace() == 0) return;
  config.trace->add({call.trace(), what, begin_ns, now_ns(), absl::StrFormat("%d expert rows", rows)});
}

void HostService::State::take_call(std::shared_ptr<IncomingCall> call) {
  add(&HostCounters::calls);
  StatusOr<Work> work = read(call);
  if (!work.ok()) return refuse(*call, work.status(), &HostCounters::malformed);
  const Status fits = check_shape(*work);
  if (!fits.ok()) return refuse(*call, fits, &HostCounters::refused);
  work->came_ns = now_ns();
  const bool small = call->priority() == peers::Priority::interactive && work->rows <= config.rows_here_max;
  if (small && executor.try_here([&] {
        std::vector<Work> alone;
        alone.push_back(*std::move(work));
        run(std::move(alone));
      })) {
    return add(&HostCounters::done_here);
  }
  enqueue(*std::move(work));
}

StatusOr<Work> HostService::State::read(const std::shared_ptr<IncomingCall>& call) const {
  Work work{.call = call, .request = {}};
  const base::Bytes bytes = call->payload().bytes();
  if (call->method() == kMix) {
    AGORA_ASSIGN_OR_RETURN(MixRequest request, read_mix_request(bytes));
    work.rows = std::max<int64_t>(1, request.route.choices());
    if (request.head.keep == moe::Keep::nothing) {
      work.alike = 2 * int64_t{request.head.layer.value} + (request.head.entries ? 1 : 0);
    }
    work.request = std::move(request);
  } else if (call->method() == kMixBackward) {
    AGORA_ASSIGN_OR_RETURN(BackwardRequest request, read_backward_request(bytes));
    work.rows = kBackwardRows * std::max<int64_t>(1, request.head.choices);
    work.request = std::move(request);
  } else if (call->method() == kRelease) {
    AGORA_ASSIGN_OR_RETURN(work.request, read_release(bytes));
  } else {
    AGORA_ASSIGN_OR_RETURN(work.request, read_end_step(bytes));
  }
  return work;
}

Status HostService::State::check_shape(const Work& work) const {
  LayerId layer;
  int64_t width = spec.shape.d;
  std::span<const int32_t> experts;
  if (const auto* mix = std::get_if<MixRequest>(&work.request)) {
    layer = mix->head.layer;
    width = mix->x.cols;
    experts = mix->route.expert;
  } else if (const auto* back = std::get_if<BackwardRequest>(&work.request)) {
    layer = back->head.key.layer;
    width = back->dy.cols;
    if (back->again) experts = back->again->route.expert;
  }
  if (layer.value >= spec.layers || width != spec.shape.d) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "swarm \"%s\" has layers 0 to %d of width %d; the call is for layer %d with rows of %d", spec.name,
        spec.layers - 1, spec.shape.d, layer.value, width));
  }
  // Here, not in the pass: there it would fail for all who share it.
  const auto greatest = std::ranges::max_element(experts);
  if (greatest == experts.end() || *greatest < spec.experts_max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("swarm \"%s\" has at most experts 0 to %d in a layer; the call is for expert %d",
                      spec.name, spec.experts_max - 1, *greatest));
}

void HostService::State::enqueue(Work work) {
  const std::shared_ptr<IncomingCall> call = work.call;
  Status pushed;
  bool post = false;
  {
    base::MutexLock lock(mutex);
    pushed = closed ? stopping() : queue.push(std::move(work));
    if (pushed.ok()) post = !std::exchange(posted, true);
    counters.waiting_most = std::max<uint64_t>(counters.waiting_most, queue.calls());
  }
  if (!pushed.ok()) return refuse(*call, pushed, &HostCounters::queue_full);
  if (post) executor.post([self = shared_from_this()] { self->run_next(); });
}

// One pass; posts itself while calls wait, so that other work of the executor comes in between.
void HostService::State::run_next() {
  WorkQueue::Taken taken;
  bool more = false;
  {
    base::MutexLock lock(mutex);
    if (closed) return;
    taken = queue.take(now_ns(), config.rows_per_pass_max);
    more = posted = queue.calls() > 0;
  }
  if (more) executor.post([self = shared_from_this()] { self->run_next(); });
  for (const Work& work : taken.dropped) {
    refuse(*work.call, absl::DeadlineExceededError("the call's time was over before its turn came"),
           &HostCounters::late);
  }
  if (!taken.batch.empty()) run(std::move(taken.batch));
}

void HostService::State::run(std::vector<Work> work) {
  const int64_t begin_ns = now_ns();
  int64_t rows = 0;
  for (const Work& w : work) {
    rows += w.rows;
    span(*w.call, "host.queue", w.came_ns, w.rows);
  }
  if (std::holds_alternative<MixRequest>(work.front().request)) {
    run_mix(work);
  } else if (std::holds_alternative<BackwardRequest>(work.front().request)) {
    run_backward(work.front());
  } else if (auto* released = std::get_if<std::vector<moe::Ticket>>(&work.front().request)) {
    for (const moe::Ticket ticket : *released) release(ticket, work.front().call->from());
    reply(*work.front().call, absl::OkStatus());
  } else {
    EndStep& step = std::get<EndStep>(work.front().request);
    step.key.trainer = work.front().call->from();
    reply(*work.front().call, held.end_step(step.key, step.settings));
  }
  for (const Work& w : work) span(*w.call, "host.compute", begin_ns, w.rows);
  base::MutexLock lock(mutex);
  counters.rows += static_cast<uint64_t>(rows);
  row_ns += (static_cast<double>(now_ns() - begin_ns) / static_cast<double>(rows) - row_ns) / 16;
}

void HostService::State::run_mix(std::vector<Work>& work) {
  batch.clear();
  std::vector<IncomingCall*> callers;
  for (const Work& w : work) {
    const Status added = batch.add(std::get<MixRequest>(w.request));
    if (!added.ok()) {
      refuse(*w.call, added, &HostCounters::refused);
    } else {
      callers.push_back(w.call.get());
    }
  }
  if (callers.empty()) return;
  const StatusOr<HeldMix> mixed = batch.run(held);
  if (!mixed.ok()) {
    for (IncomingCall* call : callers) refuse(*call, mixed.status(), &HostCounters::refused);
    return;
  }
  add(&HostCounters::passes);
  if (callers.size() > 1) add(&HostCounters::shared, callers.size());
  for (size_t i = 0; i < callers.size(); ++i) {
    moe::Ticket ticket;
    if (mixed->ticket != moe::Ticket{}) {  // then the caller is alone
      const MixRequest& request = std::get<MixRequest>(work.front().request);
      std::vector<moe::Ticket> forgotten;
      ticket =
          tickets.add({.owner = callers[i]->from(),
                       .kept = mixed->ticket,
                       .layer = request.head.layer,
                       .rows = request.x.rows,
                       .choices = request.route.choices(),
                       .bytes = (request.x.rows * spec.shape.d + request.route.choices() * spec.shape.h) * 4},
                      now_ns(), forgotten);
      forget(forgotten);
    }
    reply(*callers[i], absl::OkStatus(), batch.reply(i, *mixed, ticket));
  }
}

void HostService::State::release(moe::Ticket ticket, const peers::PeerId& caller) {
  const GivenTicket* given = tickets.find(ticket, caller);
  if (given == nullptr) return;
  held.release(given->kept);
  tickets.remove(ticket);
}

void HostService::State::forget(const std::vector<moe::Ticket>& kept) {
  for (const moe::Ticket ticket : kept) held.release(ticket);
}

void HostService::State::run_backward(Work& work) {
  const Status answered = backward(*work.call, std::get<BackwardRequest>(work.request));
  if (!answered.ok()) {
    const auto reason = absl::IsNotFound(answered)      ? &HostCounters::unknown_tickets
                        : absl::IsUnavailable(answered) ? &HostCounters::moving
                                                        : &HostCounters::refused;
    refuse(*work.call, answered, reason);
  }
  if (spec.updates == UpdateMode::asynchronous) step_what_is_due();
}

// Replies, unless it fails.
Status HostService::State::backward(IncomingCall& call, const BackwardRequest& request) {
  UpdateKey key = request.head.key;
  key.trainer = call.from();
  if (request.again) key.piece = piece_of(request.again->route);
  if (const std::optional<peers::Payload> answer = held.answered(key)) {
    release(request.head.ticket, call.from());
    reply(call, absl::OkStatus(), *answer);
    return absl::OkStatus();
  }
  const tensor::View<float> gradient = dy.shape(request.dy.rows, request.dy.cols);
  AGORA_RETURN_IF_ERROR(request.dy.unpack(gradient));

  moe::Ticket kept;
  if (request.again) {
    AGORA_ASSIGN_OR_RETURN(kept, rows_again(request));
  } else {
    const GivenTicket* given = tickets.find(request.head.ticket, call.from());
    if (given == nullptr) {
      return absl::NotFoundError("the ticket is unknown, used, expired or another's; send the rows again");
    }
    if (given->layer != key.layer || given->rows != request.dy.rows ||
        given->choices != request.head.choices) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "the ticket is of layer %d, %d rows, %d choices; the gradient of layer %d, %d rows, %d choices",
          given->layer.value, given->rows, given->choices, key.layer.value, request.dy.rows,
          request.head.choices));
    }
    kept = given->kept;
  }
  const tensor::View<float> back = dx.shape(request.dy.rows, request.dy.cols);
  std::vector<float> dweights(static_cast<size_t>(request.head.choices));
  const Status done = held.mix_backward(key, kept, gradient, back, dweights, [&](UpdateOutcome outcome) {
    peers::Payload answer = encode_backward_reply(outcome.kind, dweights, request.head.answer, back);
    reply(call, absl::OkStatus(), answer);
    return answer;
  });
  if (request.again) {
    if (!done.ok()) held.release(kept);
  } else if (done.ok() || absl::IsNotFound(done)) {
    tickets.remove(request.head.ticket);
  }
  return done;
}

StatusOr<moe::Ticket> HostService::State::rows_again(const BackwardRequest& request) {
  const tensor::View<float> rows = x.shape(request.again->x.rows, request.again->x.cols);
  AGORA_RETURN_IF_ERROR(request.again->x.unpack(rows));
  AGORA_ASSIGN_OR_RETURN(const HeldMix mixed,
                         held.mix(request.head.key.layer, rows, request.again->route, moe::Keep::for_backward,
                                  y.shape(rows.rows, rows.cols)));
  if (std::ranges::find(mixed.arrived, 0) == mixed.arrived.end()) return mixed.ticket;
  held.release(mixed.ticket);
  return absl::UnavailableError("an expert of these rows is held here no more; ask who leads it by now");
}

// The experts say when they want to be asked again; the timer only brings the executor back here.
void HostService::State::step_what_is_due() {
  executor.loop().cancel(step_timer);
  step_timer = {};
  const int64_t again_ns = held.step_what_is_due(now_ns());
  if (again_ns == INT64_MAX) return;
  step_timer = executor.loop().at(again_ns, [weak = weak_from_this()] {
    const std::shared_ptr<State> self = weak.lock();
    if (self == nullptr) return;
    self->executor.post([self] {
      {
        base::MutexLock lock(self->mutex);
        if (self->closed) return;
      }
      self->step_what_is_due();
    });
  });
}

}  // namespace agora::swarm
