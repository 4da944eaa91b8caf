#include "apps/cli/terminal_progress.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "apps/cli/terminal_text.h"

namespace agora::cli {
namespace {

class ManualClock final : public Clock {
 public:
  int64_t now_ns() const override { return now; }
  int64_t now = 0;
};

constexpr TrainingProgress kProgress{.step = 120,
                                     .steps = 2000,
                                     .loss = 3.1,
                                     .loss_validation = 3.2,
                                     .rows_per_second = 52100,
                                     .max_violation = 0.31,
                                     .seconds_left = 185};

int count(const std::string& text, char what) {
  return static_cast<int>(std::count(text.begin(), text.end(), what));
}

TEST(ProgressText, DropsTheLeastImportantFieldsFirst) {
  EXPECT_EQ(
      progress_text(kProgress, 100),
      "step  120/2000   6%  loss 3.100  validation 3.200  52,100 rows/s  balance 0.31  3 min 05 s left");
  EXPECT_EQ(progress_text(kProgress, 66),
            "step  120/2000   6%  loss 3.100  validation 3.200  3 min 05 s left");
  EXPECT_EQ(progress_text(kProgress, 10), "loss 3.100");
  for (int columns = 1; columns < 120; ++columns)
    EXPECT_LE(display_width(progress_text(kProgress, columns)), columns);
}

TEST(ProgressText, LeavesOutWhatIsNotKnown) {
  EXPECT_EQ(progress_text({.step = 7, .loss = 2}, 100), "step 7  loss 2.000  0 rows/s  balance 0.00");
}

TEST(TerminalProgress, RewritesInPlaceAtMostFiveTimesASecond) {
  std::ostringstream out;
  ManualClock clock;
  TerminalProgress progress(out, {.columns = 80, .in_place = true, .colour = true}, clock);
  for (int i = 0; i < 1000; ++i) {
    progress.show(kProgress);
    clock.now += 1'000'000;
  }
  EXPECT_EQ(count(out.str(), '\r'), 5);
  EXPECT_EQ(count(out.str(), '\n'), 0);
  progress.finish();
  EXPECT_EQ(count(out.str(), '\n'), 1);
}

TEST(TerminalProgress, PrintsAnOccasionalLineElsewhere) {
  std::ostringstream out;
  ManualClock clock;
  TerminalProgress progress(out, {.columns = 80}, clock);
  for (int i = 0; i < 300; ++i) {
    progress.show(kProgress);
    clock.now += 100'000'000;
  }
  EXPECT_EQ(count(out.str(), '\n'), 3);
  EXPECT_EQ(count(out.str(), '\r'), 0);
  EXPECT_EQ(count(out.str(), '\x1b'), 0);
  progress.finish();  // the newest state was not printed yet
  progress.finish();
  EXPECT_EQ(count(out.str(), '\n'), 4);
}

TEST(TerminalProgress, ALineOfItsOwnStandsAboveTheProgressLine) {
  std::ostringstream out;
  ManualClock clock;
  TerminalProgress progress(out, {.columns = 20, .in_place = true}, clock);
  progress.show({.step = 1, .loss = 2});
  progress.print("saved");
  EXPECT_EQ(out.str(), "\r\x1b[2Kstep 1  loss 2.000\r\x1b[2Ksaved\n\r\x1b[2Kstep 1  loss 2.000");
}

}  // namespace
}  // namespace agora::cli
