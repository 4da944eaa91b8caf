#include "apps/cli/terminal_heat_map.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agora/base/check.h"
#include "apps/cli/terminal_text.h"

namespace agora::cli {
namespace {

// Of the 256-colour palette, from the darkest blue to a light one, and the ink that can be read on each.
struct Shade {
  int ground;
  int ink;
};
constexpr Shade kShades[] = {{234, 245}, {235, 250}, {17, 252}, {18, 253}, {19, 254}, {25, 255},
                             {26, 255},  {32, 16},   {38, 16},  {74, 16},  {117, 16}, {159, 16}};
constexpr int kShadeCount = static_cast<int>(std::size(kShades));

constexpr int kGrounds[] = {24, 130, 28, 89, 94, 60, 30, 124, 64, 97, 23, 136, 240, 52, 22, 54};

constexpr int kCellColumnsMin = 4;
constexpr int kCellColumnsMax = 12;

std::string paint(std::string_view text, int ground, int ink) {
  return absl::StrFormat("\x1b[48;5;%d;38;5;%dm%s\x1b[0m", ground, ink, std::string(text));
}

// The nearest of `steps` even steps from 0 to maximum, counted from 0.
int step_of(double value, double maximum, int steps) {
  if (!std::isfinite(value) || !(maximum > 0)) return 0;
  return static_cast<int>(std::lround(std::clamp(value / maximum, 0.0, 1.0) * (steps - 1)));
}

void end_line(std::string& out) {
  out.erase(out.find_last_not_of(' ') + 1);
  out += '\n';
}

std::string cell_text(double value, double maximum, int columns, const TerminalDevice& device) {
  if (!device.colour) return fit(absl::StrCat(step_of(value, maximum, 10)), columns - 1, Align::right) + " ";
  const Shade shade = kShades[step_of(value, maximum, kShadeCount)];
  const std::string percent = absl::StrFormat("%.0f", 100 * value);
  return paint(fit(value < 0.005 ? "" : percent, columns - 1, Align::right) + " ", shade.ground, shade.ink);
}

}  // namespace

std::string heat_map_text(const TerminalHeatMap& map, const TerminalDevice& device) {
  AGORA_CHECK_EQ(static_cast<int64_t>(map.row_labels.size()), map.values.rows);
  AGORA_CHECK_EQ(static_cast<int64_t>(map.column_labels.size()), map.values.cols);
  int label_columns = display_width(map.row_title);
  for (const std::string& label : map.row_labels) {
    label_columns = std::max(label_columns, display_width(visible_text(label)));
  }
  int cell_columns = kCellColumnsMin;
  for (const std::string& label : map.column_labels) {
    cell_columns = std::max(cell_columns, display_width(visible_text(label)) + 1);
  }
  cell_columns = std::min(cell_columns, kCellColumnsMax);
  label_columns = std::min(label_columns, kCellColumnsMax);
  const int64_t fitting = std::max(1, (device.columns - label_columns - 1) / cell_columns);

  std::string out;
  for (int64_t first = 0; first < map.values.cols; first += fitting) {
    const int64_t last = std::min(map.values.cols, first + fitting);
    absl::StrAppend(&out, fit(map.row_title, label_columns, Align::right), " ");
    for (int64_t c = first; c < last; ++c) {
      // A space at its end keeps a label off its neighbour, and stands over the one in a painted cell.
      absl::StrAppend(&out, fit(visible_text(map.column_labels[c]), cell_columns - 1, Align::right), " ");
    }
    end_line(out);
    for (int64_t r = 0; r < map.values.rows; ++r) {
      absl::StrAppend(&out, fit(visible_text(map.row_labels[r]), label_columns, Align::right), " ");
      for (int64_t c = first; c < last; ++c) {
        out += cell_text(map.values.at(r, c), map.maximum, cell_columns, device);
      }
      end_line(out);
    }
  }
  return out;
}

std::string heat_legend(double maximum, const TerminalDevice& device) {
  if (!device.colour) return absl::StrFormat("as digits, 0 to 9 for 0 to %.0f %%", 100 * maximum);
  std::string out = "0 ";
  for (const Shade shade : kShades) out += paint("  ", shade.ground, shade.ink);
  return out + absl::StrFormat(" %.0f %%", 100 * maximum);
}

std::string on_colour(std::string_view text, int64_t number, const TerminalDevice& device) {
  if (!device.colour) return std::string(text);
  constexpr int kWhite = 255;
  return paint(text, kGrounds[number % static_cast<int64_t>(std::size(kGrounds))], kWhite);
}

std::string bold(std::string_view text, const TerminalDevice& device) {
  return device.colour ? absl::StrFormat("\x1b[1m%s\x1b[0m", std::string(text)) : std::string(text);
}

}  // namespace agora::cli
