// The whole swarm's load on each expert of a layer now, for a gate that balances while it trains.
//
//   LoadsNow loads;
//   mixture.move_selection_bias(loads.after_step(finder.loads(layer, E), mixture.loads(), loop.now_ns()));
//
// What hosts tell is a mean over seconds, and seconds old; a trainer may take a hundred steps in that time,
// and would push its gate far beyond balance before it heard of it, to and fro. Its own loads it knows at
// once, and what moves them moves those of others too, for trunks are averaged. So the estimate is what was
// told, plus what has changed in the trainer's own share of rows since then (a Smith predictor: O. Smith,
// 1957). A trainer whose data are special may stay uneven: what counts is the sum of all.
//
// Pure. One thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace agora::swarm {

class LoadsNow {
 public:
  // told [E]: rows a second, all 0 until hosts have told any; own [E]: rows of this step. The result [E] is
  // valid until the next call: parts of a billion of all rows; a part may be below 0.
  std::span<const int64_t> after_step(std::span<const int64_t> told, std::span<const int64_t> own,
                                      int64_t now_ns);

 private:
  void remember(const std::vector<double>& own, int64_t now_ns);

  std::vector<double> remembered_;  // the own shares as hosts tell them now
  int64_t last_ns_ = 0;
  std::vector<int64_t> now_;
};

}  // namespace agora::swarm
