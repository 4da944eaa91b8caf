// What happened in a run, as the peers saw it: checkers listen, the report counts, nobody changes anything.
//
//   class AppliedOnce final : public History { void on_update(const UpdateFact& fact) override {...} };
//   Histories all;   all.add(checker);   World world({.seed = 7}, all);
//
// Facts are told at once, inside the event that made them, in the order of the world's time. They name peers
// by number (PeerNumber): it stays when a peer restarts, its life counts on. All times are the world's. What
// a dead peer's callers still say on their way home is not told. References live as long as the call. One
// thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agora/moe/route.h"
#include "agora/swarm/host/held_experts.h"
#include "agora/swarm/mix_observer.h"
#include "agora/tensor/view.h"

namespace agora::sim {

// Hosts first, then gates, in the order in which they were added.
using PeerNumber = uint32_t;

struct PeerFact {
  int64_t at_ns = 0;
  PeerNumber peer = 0;
  uint32_t life = 0;  // counts its starts, from 1
};

// A gate's question has its answer.
struct AnswerFact : PeerFact {
  uint64_t question = 0;  // counts the gate's questions
  bool training = false;
  Status status;         // of mix(); where it is not OK there is nothing else
  int64_t asked_ns = 0;  // when it was asked, by the world's clock
  int64_t took_ns = 0;   // by the gate's own
  LayerId layer;
  const moe::Route* route = nullptr;
  tensor::View<const float> x, y;               // as given, as answered
  std::span<const uint8_t> arrived;             // [choices]
  std::span<const swarm::ServedChoice> served;  // [choices] what the answer says of itself
  // Of the gate's weights, as RemoteExperts reports them; where training asked again and again, as arrived
  // says.
  double mass = 0, mass_lost = 0;
};

// A gate's gradient has gone to the hosts, or not.
struct GradientFact : PeerFact {
  uint64_t question = 0;
  int64_t sent_ns = 0;  // by the world's clock
  Status status;
  uint64_t lost = 0;     // choices whose gradient nobody answered
  uint64_t refused = 0;  // hosts' updates of it that an expert did not take
};

// A host has computed its part of a mixture: what each choice adds to its token.
struct ComputedFact : PeerFact {
  LayerId layer;
  const moe::Route* route = nullptr;  // of the part
  tensor::View<const float> x;        // [T, D]
  tensor::View<const float> entries;  // [choices, D] weighted; 0 where not held
  std::span<const uint8_t> arrived;   // [choices]
  std::span<const uint64_t> version;  // [choices]
};

// A host has been given a gradient. Told once for each expert in it.
struct UpdateFact : PeerFact {
  swarm::UpdateKey key;
  swarm::ExpertName expert;
  swarm::UpdateOutcome::Kind outcome = swarm::UpdateOutcome::Kind::applied;  // of the whole call
  bool taken = false;                                                        // this expert took its gradient
  uint32_t epoch = 0;                                                        // under which it did
  uint64_t version = 0;                                                      // of the expert then
};

// A host's own idea of what it holds has changed.
struct RoleFact : PeerFact {
  enum class Kind : uint8_t { adopted, restored, led, followed, dropped };
  Kind kind = Kind::adopted;
  swarm::ExpertName expert;
  uint32_t epoch = 0;
  uint64_t version = 0;
  uint64_t snapshot = 0;  // restored: from this one, see SnapshotFact
};

// A host has written down an expert: for a follower, a successor or the disk.
struct SnapshotFact : PeerFact {
  swarm::ExpertName expert;
  uint64_t version = 0;
  uint64_t snapshot = 0;  // a hash of its bytes
};

struct LifeFact : PeerFact {
  enum class Kind : uint8_t { started, left, crashed, frozen };
  Kind kind = Kind::started;
};

// A trainer has taken a step, or not.
struct StepFact : PeerFact {
  Status status;
  uint64_t step = 0;
  double loss = 0;  // nats a token
  int64_t choices = 0, choices_arrived = 0;
  uint64_t round = 0;         // of its trunk: averaged so often ...
  uint32_t contributors = 0;  // ... by so many the last time ...
  uint64_t trunk_rows = 0;    // ... and learned from so many rows
};

class History {
 public:
  virtual ~History() = default;
  virtual void on_life(const LifeFact&) {}
  virtual void on_answer(const AnswerFact&) {}
  virtual void on_gradient(const GradientFact&) {}
  virtual void on_computed(const ComputedFact&) {}
  virtual bool wants_computed() const { return false; }  // costs each host a second pass
  virtual void on_update(const UpdateFact&) {}
  virtual void on_role(const RoleFact&) {}
  virtual void on_snapshot(const SnapshotFact&) {}
  virtual void on_step(const StepFact&) {}
  virtual void on_fault(int64_t /*at_ns*/, std::string_view /*what*/) {}   // for people
  virtual void on_mended(int64_t /*at_ns*/, std::string_view /*what*/) {}  // likewise: a fault is over
  virtual void on_calm(int64_t /*at_ns*/) {}                               // no fault from now on
};

// Several of them; borrowed.
class Histories final : public History {
 public:
  void add(History& history) { all_.push_back(&history); }

  void on_life(const LifeFact& fact) override { each(&History::on_life, fact); }
  void on_answer(const AnswerFact& fact) override { each(&History::on_answer, fact); }
  void on_gradient(const GradientFact& fact) override { each(&History::on_gradient, fact); }
  void on_computed(const ComputedFact& fact) override { each(&History::on_computed, fact); }
  bool wants_computed() const override {
    for (const History* history : all_) {
      if (history->wants_computed()) return true;
    }
    return false;
  }
  void on_update(const UpdateFact& fact) override { each(&History::on_update, fact); }
  void on_role(const RoleFact& fact) override { each(&History::on_role, fact); }
  void on_snapshot(const SnapshotFact& fact) override { each(&History::on_snapshot, fact); }
  void on_step(const StepFact& fact) override { each(&History::on_step, fact); }
  void on_fault(int64_t at_ns, std::string_view what) override {
    for (History* history : all_) history->on_fault(at_ns, what);
  }
  void on_mended(int64_t at_ns, std::string_view what) override {
    for (History* history : all_) history->on_mended(at_ns, what);
  }
  void on_calm(int64_t at_ns) override { each(&History::on_calm, at_ns); }

 private:
  template <class Fact>
  void each(void (History::*tell)(const Fact&), const Fact& fact) {
    for (History* history : all_) (history->*tell)(fact);
  }
  void each(void (History::*tell)(int64_t), int64_t at_ns) {
    for (History* history : all_) (history->*tell)(at_ns);
  }

  std::vector<History*> all_;
};

}  // namespace agora::sim
