#include "agora/serve/answerer.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "agora/swarm/remote_experts.h"

namespace agora::serve {
namespace {

constexpr int64_t kStepsRemembered = 16;  // that the mean time of a step is over

}  // namespace

Status no_trunk_yet() {
  return absl::UnavailableError("the server has no trunk yet: ask again soon, or another one");
}

Status server_stops() { return absl::UnavailableError("the server stops: ask another one"); }

// One step until its first rows are read; and who waits in front of it needs about as many as who is under
// way.
uint32_t AnswererCounters::load_us() const {
  if (active == 0) return 0;
  return static_cast<uint32_t>(std::min<int64_t>(step_ns / 1000 * (active + waiting), UINT32_MAX));
}

struct Answerer::Answer {
  std::unique_ptr<Session> session;
  std::shared_ptr<Asker> asker;
  int64_t deadline_ns = INT64_MAX;
  int64_t begin_ns = 0;
  int64_t tokens_before = 0;  // that came with the request
  AskSummary summary;
};

Answerer::Answerer(const kernels::Compute& compute, const Clock& clock, const model::Tokenizer& tokenizer,
                   const BatcherLimits& limits)
    : compute_(compute),
      clock_(clock),
      tokenizer_(tokenizer),
      arrivals_max_(static_cast<size_t>(limits.sessions_max + limits.waiting_max)),
      batcher_(limits),
      thread_([this] {
        pthread_setname_np(pthread_self(), "agora-answer");
        run();
      }) {}

Answerer::~Answerer() { stop(); }

void Answerer::stop() {
  {
    const base::MutexLock lock(mutex_);
    stopping_ = true;
    changed_.wake_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Answerer::ask(Question question, std::shared_ptr<Asker> asker) {
  Status refused;
  {
    const base::MutexLock lock(mutex_);
    if (stopping_) {
      refused = server_stops();
    } else if (newest_.model == nullptr) {
      refused = no_trunk_yet();
    } else if (arrivals_.size() >= arrivals_max_) {
      refused = absl::ResourceExhaustedError("the server is full: try later or another server");
    } else {
      arrivals_.push_back({std::move(question), asker, clock_.now_ns()});
      changed_.wake_all();
      return;
    }
  }
  asker->done(refused, {});
}

void Answerer::use_trunk(ServedTrunk trunk) {
  const base::MutexLock lock(mutex_);
  newest_ = std::move(trunk);
  changed_.wake_all();
}

Status Answerer::look(std::function<void(Glance&)> look) {
  const base::MutexLock lock(mutex_);
  if (stopping_) return server_stops();
  if (looks_.size() >= kLooksMax) {
    return absl::ResourceExhaustedError("the server is full: try later or another server");
  }
  looks_.push_back(std::move(look));
  changed_.wake_all();
  return absl::OkStatus();
}

AnswererCounters Answerer::counters() const {
  const base::MutexLock lock(mutex_);
  return counters_;
}

// False: the end.
bool Answerer::wait_for_work(std::vector<Arrival>& arrivals,
                             std::vector<std::function<void(Glance&)>>& looks) {
  const base::MutexLock lock(mutex_);
  counters_ = counted_;
  while (!stopping_ && arrivals_.empty() && looks_.empty() && answers_.empty()) changed_.wait(mutex_);
  for (Arrival& arrival : arrivals_) arrivals.push_back(std::move(arrival));
  for (auto& look : looks_) looks.push_back(std::move(look));
  arrivals_.clear();
  looks_.clear();
  trunk_ = newest_;
  return !stopping_;
}

void Answerer::run() {
  std::vector<Arrival> arrivals;
  std::vector<std::function<void(Glance&)>> looks;
  while (wait_for_work(arrivals, looks)) {
    for (auto& look : looks) {
      swarm::MixObserver* const before = relay_.to();
      Glance glance{trunk_, compute_, relay_.to()};
      look(glance);
      relay_.to() = before;
    }
    looks.clear();
    for (Arrival& arrival : arrivals) join(std::move(arrival));
    arrivals.clear();
    drop_the_late();
    step();
    counted_.active = batcher_.active();
    counted_.waiting = batcher_.waiting();
    counted_.cache_bytes = batcher_.cache_bytes();
  }
  for (Arrival& arrival : arrivals) arrival.asker->done(server_stops(), {});
  while (!answers_.empty()) end(answers_.begin()->first, server_stops());
}

void Answerer::join(Arrival arrival) {
  ++counted_.asked;
  auto answer = std::make_unique<Answer>();
  answer->asker = std::move(arrival.asker);
  answer->deadline_ns = arrival.question.deadline_ns;
  answer->begin_ns = arrival.begin_ns;
  answer->tokens_before = std::ssize(arrival.question.request.answered);
  answer->summary.request = arrival.question.trace;
  answer->summary.trunk_version = trunk_.version;
  const SessionId id{++last_session_};
  const Priority priority = arrival.question.priority;
  auto session = Session::create(trunk_, tokenizer_, std::move(arrival.question.request));
  Answer& added = *answers_.emplace(id, std::move(answer)).first->second;
  if (!session.ok()) return end(id, session.status());
  added.session = *std::move(session);
  added.summary.prompt_tokens = added.session->prompt_tokens();
  if (added.session->finish()) return end(id, absl::OkStatus());
  Sequence& sequence = added.session->sequence();
  const Status joined = batcher_.join(id, priority, sequence.cache_bytes(), std::ssize(sequence.unread()));
  if (!joined.ok()) end(id, joined);
}

void Answerer::drop_the_late() {
  const int64_t now_ns = clock_.now_ns();
  for (auto next = answers_.begin(); next != answers_.end();) {
    const auto& [id, answer] = *next++;
    if (answer->asker->gone()) {
      ++counted_.abandoned;
      end(id, absl::CancelledError("nobody waits for the answer any more"));
    } else if (answer->deadline_ns <= now_ns) {
      end(id, absl::DeadlineExceededError("the answer was not whole at the deadline: ask for fewer tokens"));
    }
  }
}

void Answerer::step() {
  for (const SessionId id : batcher_.admit()) answers_.at(id)->session->sequence().open();
  // One pass for each trunk that sessions began with; nearly always there is one.
  std::map<const model::Model*, std::vector<PlannedRead>> by_trunk;
  for (const PlannedRead& read : batcher_.plan()) {
    by_trunk[answers_.at(read.session)->session->trunk().model.get()].push_back(read);
  }
  for (const auto& [model, reads] : by_trunk) step_together(reads);
}

// What fails together is tried alone, so that one session's trouble is not the others'.
void Answerer::step_together(const std::vector<PlannedRead>& reads) {
  Status status = read(reads);
  if (status.ok()) {
    for (const PlannedRead& read : reads) advance(read.session);
    return;
  }
  for (const PlannedRead& one : reads) {
    if (reads.size() > 1) status = read({&one, 1});
    if (status.ok()) {
      advance(one.session);
    } else {
      end(one.session, status);
    }
  }
}

Status Answerer::read(std::span<const PlannedRead> reads) {
  std::vector<model::SequenceStep> steps;
  std::vector<AnswerTally::Share> shares;
  for (const PlannedRead& read : reads) {
    Answer& answer = *answers_.at(read.session);
    steps.push_back(answer.session->sequence().step(read.rows));
    shares.push_back({read.rows, &answer.summary});
    counted_.rows += static_cast<uint64_t>(read.rows);
  }
  ++counted_.steps;
  const int64_t begin_ns = clock_.now_ns();
  tally_.begin(std::move(shares));
  model::Model& model = *answers_.at(reads[0].session)->session->trunk().model;
  const model::Pass pass{.compute = compute_, .call = {.runner_up = true}, .observer = &tally_};
  swarm::RemoteExperts::set_trace(answers_.at(reads[0].session)->summary.request);
  AGORA_RETURN_IF_ERROR(model.extend(pass, steps));
  tally_.commit();
  counted_.step_ns += (clock_.now_ns() - begin_ns - counted_.step_ns) / kStepsRemembered;
  return absl::OkStatus();
}

void Answerer::advance(SessionId id) {
  Answer& answer = *answers_.at(id);
  Sequence& sequence = answer.session->sequence();
  if (sequence.unread().empty()) {
    ++counted_.tokens;
    answer.asker->part(answer.session->advance());
    if (answer.session->finish()) return end(id, absl::OkStatus());
  }
  batcher_.set_unread(id, std::ssize(sequence.unread()));
}

void Answerer::end(SessionId id, const Status& status) {
  batcher_.leave(id);
  const auto found = answers_.find(id);
  const std::unique_ptr<Answer> answer = std::move(found->second);
  answers_.erase(found);
  AskSummary& summary = answer->summary;
  summary.duration_us = (clock_.now_ns() - answer->begin_ns) / 1000;
  if (answer->session != nullptr) {
    summary.answer_tokens = answer->session->answer_tokens() - answer->tokens_before;
    summary.finish = answer->session->finish().value_or(Finish::length);
  }
  ++(status.ok() ? counted_.answered : counted_.failed);
  answer->asker->done(status, summary);
}

}  // namespace agora::serve
