// The progress line of a training run: rewritten in place on a terminal, an occasional line elsewhere.
//
//   TerminalProgress progress(std::cerr, inspect_terminal(STDERR_FILENO), clock);
//   progress.show({.step = 120, .steps = 2000, .loss = 3.1, ...});   // after each step; cheap if none is due
//   progress.print("saved runs/text");                               // a line of its own above it
//   progress.finish();                                               // the last state stays on the screen
//
//   step 120/2000   6%  loss 3.104  validation 3.214  52,100 rows/s  balance 0.31  3 min 05 s left
//
// One thread at a time. The stream and the clock outlive it.
#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>

#include "agora/base/clock.h"
#include "apps/cli/terminal_device.h"

namespace agora::cli {

struct TrainingProgress {
  int64_t step = 0;
  int64_t steps = 0;                           // 0: no end known
  double loss = 0;                             // nats per token
  std::optional<double> loss_validation = {};  // the last one measured
  double rows_per_second = 0;
  double max_violation = 0;  // load balance: (largest load - mean) / mean over experts, MaxVio; 0 is perfect
  double seconds_left = -1;  // negative: not known yet
};

class TerminalProgress {
 public:
  static constexpr int64_t kRefreshNs = 200'000'000;       // in place: at most 5 times a second
  static constexpr int64_t kLineEveryNs = 10'000'000'000;  // elsewhere: a line every 10 seconds

  TerminalProgress(std::ostream& out, TerminalDevice device, const Clock& clock);
  ~TerminalProgress();
  TerminalProgress(const TerminalProgress&) = delete;
  TerminalProgress& operator=(const TerminalProgress&) = delete;

  void show(const TrainingProgress& progress);
  void print(std::string_view line);
  void finish();

 private:
  void draw();

  std::ostream& out_;
  TerminalDevice device_;
  const Clock& clock_;
  std::string line_;        // the newest state
  bool drawn_ = false;      // line_ is what the screen (or the log) shows
  bool on_screen_ = false;  // in place: the cursor stands on a progress line
  std::optional<int64_t> drawn_at_ns_;
};

// The line itself, at most `columns` wide: the least important fields give way.
std::string progress_text(const TrainingProgress& progress, int columns);

}  // namespace agora::cli
