// What a run's page draws beside the tally's samples: faults as they came and went, experts and bytes
// over time, and how soon the swarm was itself again after a blow.
//
//   Run run(scenario, seed);   Timeline timeline;   timeline.watch(run);
//   const RunReport report = run.go();
//   timeline.marks()   timeline.samples()   timeline.recovery()
//
// The first kMarksMax faults are kept, the others counted. One thread, the world's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agora/sim/run.h"

namespace agora::sim {

class Timeline final : public History {
 public:
  static constexpr size_t kMarksMax = 4096;

  struct Mark {
    int64_t at_ns = 0;
    std::string what;
  };
  // As it was then, about once a second.
  struct Sample {
    int64_t at_ns = 0;
    int64_t hosts_alive = 0;
    ExpertCounts experts;
    double bytes_per_s_most = 0;  // of one peer, sent and received, since the last sample
  };
  // From the last fault on; -1: not until the end.
  struct Recovery {
    int64_t answered_ns = -1;  // until the first answer to a question asked since, with nothing lost
    int64_t led_ns = -1;       // until every expert was led, to a sample
    int64_t whole_ns = -1;     // and had all its replicas
  };

  // Before run.go(). The run goes first.
  void watch(Run& run);

  void on_answer(const AnswerFact& fact) override;
  void on_fault(int64_t at_ns, std::string_view what) override;
  void on_mended(int64_t at_ns, std::string_view what) override;

  int64_t experts() const { return experts_; }  // of all layers
  const std::vector<Mark>& marks() const { return marks_; }
  uint64_t marks_in_all() const { return marks_in_all_; }
  const std::vector<Sample>& samples() const { return samples_; }
  const Recovery& recovery() const { return recovery_; }

 private:
  void mark(int64_t at_ns, std::string_view what);
  void look(World& world);
  double busiest(World& world, int64_t passed_ns);

  int64_t experts_ = 0;
  std::vector<Mark> marks_;
  uint64_t marks_in_all_ = 0;
  int64_t struck_ns_ = 0;
  Recovery recovery_;
  std::vector<Sample> samples_;
  std::vector<uint64_t> bytes_before_;  // by peer
};

// "2.4 s", or "not until the end".
std::string recovery_text(int64_t ns);
// Rows below run_text()'s.
std::string timeline_text(const Timeline& timeline);

}  // namespace agora::sim
