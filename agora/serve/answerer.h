// The thread that answers: all sessions advance together, one step of the model after the other.
//
//   Answerer answerer(compute, clock, tokenizer, limits);
//   answerer.use_trunk({version, model});                      // for whoever asks from now on
//   answerer.ask({request, Priority::interactive, deadline_ns, trace}, asker);
//   answerer.look([](Glance& glance) { ... });                 // between two steps, on the thread
//
// A session ends with its answer, its deadline, when nobody waits for it any more, or when a step fails for
// it alone: then the others go on. Any thread may call; nothing waits but stop().
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <thread>

#include "agora/base/clock.h"
#include "agora/base/mutex.h"
#include "agora/serve/answer_tally.h"
#include "agora/serve/batcher.h"
#include "agora/serve/session.h"

namespace agora::serve {

// Who waits for an answer. Called on the answering thread: take what comes and return soon.
class Asker {
 public:
  virtual ~Asker() = default;
  virtual void part(AskPart part) = 0;
  // Once, at the end. The summary counts also where the answer failed.
  virtual void done(const Status& status, const AskSummary& summary) = 0;
  virtual bool gone() const = 0;  // nobody waits any more
};

struct Question {
  AskRequest request;
  Priority priority = Priority::interactive;
  int64_t deadline_ns = INT64_MAX;  // of the answerer's clock
  uint64_t trace = 0;
};

struct AnswererCounters {
  uint64_t asked = 0, answered = 0, failed = 0, abandoned = 0;  // failed: deadlines included
  uint64_t steps = 0, rows = 0, tokens = 0;                     // rows: prompts' included
  int64_t step_ns = 0;                                          // of a step, lately
  int64_t active = 0, waiting = 0, cache_bytes = 0;             // now
  uint32_t load_us() const;                                     // how long a new question would wait
};

// The answering thread's things, for the while of a look.
struct Glance {
  ServedTrunk trunk;  // the newest; no model before the first
  kernels::Compute compute;
  swarm::MixObserver*& mix_observer;  // who is told what remote experts did; put back after the look
};

Status no_trunk_yet();  // Unavailable, as is the other
Status server_stops();

class Answerer {
 public:
  static constexpr size_t kLooksMax = 32;  // waiting at once

  // clock and tokenizer outlive it; of compute nobody else uses the workspace.
  Answerer(const kernels::Compute& compute, const Clock& clock, const model::Tokenizer& tokenizer,
           const BatcherLimits& limits);
  ~Answerer();
  // Ends what is under way, and the thread; from now on every question is refused. Not from an asker or a
  // look.
  void stop();

  // The only errors of ask() come through done(): ResourceExhausted (full), Unavailable (no trunk yet, or the
  // server stops), DeadlineExceeded, Cancelled (nobody waits), InvalidArgument (see Session), and the
  // experts'.
  void ask(Question question, std::shared_ptr<Asker> asker);
  void use_trunk(ServedTrunk trunk);
  // ResourceExhausted: kLooksMax are waiting; then, and when the answerer ends first, it never runs.
  Status look(std::function<void(Glance&)> look);

  AnswererCounters counters() const;
  // For the remote experts behind the trunks' models.
  swarm::MixObserver& mix_observer() { return relay_; }

 private:
  struct Answer;
  struct Arrival {
    Question question;
    std::shared_ptr<Asker> asker;
    int64_t begin_ns;
  };
  class Relay final : public swarm::MixObserver {
   public:
    explicit Relay(swarm::MixObserver* to) : to_(to) {}
    swarm::MixObserver*& to() { return to_; }
    void on_mix(LayerId layer, const moe::Route& route,
                std::span<const swarm::ServedChoice> served) override {
      to_->on_mix(layer, route, served);
    }

   private:
    swarm::MixObserver* to_;
  };

  void run();
  bool wait_for_work(std::vector<Arrival>& arrivals, std::vector<std::function<void(Glance&)>>& looks);
  void join(Arrival arrival);
  void drop_the_late();
  void step();
  void step_together(const std::vector<PlannedRead>& reads);
  Status read(std::span<const PlannedRead> reads);
  void advance(SessionId id);
  void end(SessionId id, const Status& status);

  const kernels::Compute compute_;
  const Clock& clock_;
  const model::Tokenizer& tokenizer_;
  const size_t arrivals_max_;

  // Of the thread.
  Batcher batcher_;
  std::map<SessionId, std::unique_ptr<Answer>> answers_;
  uint64_t last_session_ = 0;
  ServedTrunk trunk_;
  AnswerTally tally_;
  Relay relay_{&tally_};
  AnswererCounters counted_;

  mutable base::Mutex mutex_;
  base::Condition changed_;
  std::deque<Arrival> arrivals_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::function<void(Glance&)>> looks_ ABSL_GUARDED_BY(mutex_);
  ServedTrunk newest_ ABSL_GUARDED_BY(mutex_);
  AnswererCounters counters_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace agora::serve
