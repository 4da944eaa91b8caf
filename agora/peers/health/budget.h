// How many extra calls (retries, hedges) the ordinary ones pay for: a share of them, and a few saved up.
//
//   Budget retries({.share = 0.10, .saved_max = 10});
//   retries.on_call();   if (retries.take()) retry();
//
// When everything fails, extra calls add at most `share` to the load, instead of multiplying it. It counts
// calls, not time, so it needs no clock. One thread at a time.
#pragma once

#include <algorithm>

namespace agora::peers {

struct BudgetSettings {
  double share = 0.10;     // extra calls that one call pays for
  double saved_max = 10;   // no quiet hour saves up for a storm
  double saved_first = 3;  // the first calls of all may be repeated too
};

constexpr BudgetSettings kRetryBudget{.share = 0.10, .saved_max = 10, .saved_first = 3};
constexpr BudgetSettings kHedgeBudget{.share = 0.05, .saved_max = 5, .saved_first = 1};

class Budget {
 public:
  explicit Budget(const BudgetSettings& settings) : settings_(settings), saved_(settings.saved_first) {}

  void on_call() { saved_ = std::min(settings_.saved_max, saved_ + settings_.share); }
  bool can_take() const { return saved_ >= 1 - kRounding; }
  // False: not this time. True: one is taken.
  bool take() {
    if (!can_take()) return false;
    saved_ -= 1;
    return true;
  }

 private:
  static constexpr double kRounding = 1e-9;  // ten times 0.1 is a whole one
  BudgetSettings settings_;
  double saved_;
};

}  // namespace agora::peers
