// Counts, for each session of a step, what became of its choices: how served, what was lost.
//
//   AnswerTally tally;                          // given to the pass and to the remote experts as observer
//   tally.begin({{3, &summary_a}, {1, &summary_b}});           // 3 rows of a, then 1 of b
//   model.extend(pass, steps);
//   tally.commit();                             // adds to the summaries; without it the step counts nothing
//
// One thread at a time.
#pragma once

#include <vector>

#include "agora/model/block.h"
#include "agora/serve/ask_wire.h"
#include "agora/swarm/mix_observer.h"

namespace agora::serve {

class AnswerTally final : public model::RouteObserver, public swarm::MixObserver {
 public:
  struct Share {
    int64_t rows = 0;
    AskSummary* summary = nullptr;
  };
  void begin(std::vector<Share> shares);
  void commit();

  void observe(LayerId layer, const moe::MoeSaved& saved) override;
  void on_mix(LayerId layer, const moe::Route& route, std::span<const swarm::ServedChoice> served) override;

 private:
  std::vector<Share> shares_;
  std::vector<AskSummary> counted_;  // by share, of this step alone
  std::vector<size_t> share_of_;     // by row
};

}  // namespace agora::serve
