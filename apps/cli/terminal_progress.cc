#include "apps/cli/terminal_progress.h"

#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "apps/cli/terminal_table.h"
#include "apps/cli/terminal_text.h"

namespace agora::cli {
namespace {

constexpr char kEraseLine[] = "\r\x1b[2K";

std::string step_text(const TrainingProgress& progress) {
  if (progress.steps <= 0) return absl::StrFormat("step %d", progress.step);
  const int width = static_cast<int>(absl::StrCat(progress.steps).size());
  return absl::StrFormat("step %*d/%d %3d%%", width, progress.step, progress.steps,
                         100 * progress.step / progress.steps);
}

}  // namespace

std::string progress_text(const TrainingProgress& progress, int columns) {
  // In the order shown; the last stays longest when the line is too narrow, by `keep`.
  struct Field {
    int keep;
    std::string text;
  };
  std::vector<Field> fields = {{5, step_text(progress)}, {6, absl::StrFormat("loss %.3f", progress.loss)}};
  if (progress.loss_validation)
    fields.push_back({4, absl::StrFormat("validation %.3f", *progress.loss_validation)});
  fields.push_back({2, absl::StrCat(with_thousands(std::llround(progress.rows_per_second)), " rows/s")});
  fields.push_back({1, absl::StrFormat("balance %.2f", progress.max_violation)});
  if (progress.seconds_left >= 0)
    fields.push_back({3, absl::StrCat(duration_text(progress.seconds_left), " left")});

  const auto join = [&fields](int keep) {
    std::vector<std::string> kept;
    for (const Field& field : fields) {
      if (field.keep > keep) kept.push_back(field.text);
    }
    return absl::StrJoin(kept, "  ");
  };
  int keep = 0;
  while (keep < 5 && display_width(join(keep)) > columns) ++keep;
  return cut(join(keep), columns);
}

TerminalProgress::TerminalProgress(std::ostream& out, TerminalDevice device, const Clock& clock)
    : out_(out), device_(device), clock_(clock) {}

TerminalProgress::~TerminalProgress() { finish(); }

void TerminalProgress::show(const TrainingProgress& progress) {
  const int64_t now_ns = clock_.now_ns();
  // One column stays free: a full last column makes some terminals wrap.
  line_ = progress_text(progress, device_.in_place ? device_.columns - 1 : 4 * kColumnsDefault);
  drawn_ = false;
  const int64_t every_ns = device_.in_place ? kRefreshNs : kLineEveryNs;
  if (drawn_at_ns_ && now_ns - *drawn_at_ns_ < every_ns) return;
  drawn_at_ns_ = now_ns;
  draw();
}

void TerminalProgress::draw() {
  if (device_.in_place) {
    out_ << kEraseLine << line_ << std::flush;
    on_screen_ = true;
  } else {
    out_ << line_ << "\n" << std::flush;
  }
  drawn_ = true;
}

void TerminalProgress::print(std::string_view line) {
  if (on_screen_) out_ << kEraseLine;
  out_ << line << "\n" << std::flush;
  if (on_screen_) draw();
}

void TerminalProgress::finish() {
  if (!drawn_ && !line_.empty()) draw();
  if (on_screen_) out_ << "\n" << std::flush;
  on_screen_ = false;
  line_.clear();
}

}  // namespace agora::cli
