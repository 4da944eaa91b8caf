#include "apps/cli/explain_page_html.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agora/base/check.h"
#include "apps/cli/terminal_text.h"

namespace agora::cli {
namespace {

// Pixels.
constexpr int kCellHeightNumber = 19;
constexpr int kCellWidthNumber = 31;  // with a percentage in it
constexpr int kCellHeightPlain = 15;
constexpr int kCellWidthPlain = 14;
constexpr int kCharWidth = 7;  // of the 11 px label font, generously
constexpr int kLabelColumnsMax = 14;

// How strongly a cell is filled, 0 .. 1, and whether it lies below the middle of a two-sided scale.
struct Fill {
  double opacity = 0;
  bool below = false;
};

Fill fill_of(const HeatMap& map, double value) {
  if (!std::isfinite(value) || !(map.maximum > 0)) return {};
  if (map.scale == HeatScale::share) return {.opacity = std::clamp(value / map.maximum, 0.0, 1.0)};
  const double range = std::log2(std::max(map.maximum, 1.01));
  const double side = value > 0 ? std::log2(value) / range : -1;
  return {.opacity = std::min(1.0, std::abs(side)), .below = side < 0};
}

std::string cell_text(const HeatMap& map, double value) {
  if (map.scale == HeatScale::share) return absl::StrFormat("%.1f %%", 100 * value);
  return absl::StrFormat("%.2f times chance", value);
}

int longest(const std::vector<std::string>& labels) {
  int columns = 0;
  for (const std::string& label : labels) columns = std::max(columns, display_width(visible_text(label)));
  return std::min(columns, kLabelColumnsMax);
}

std::string label(std::string_view text) { return escape(cut(visible_text(text), kLabelColumnsMax)); }

// Where the cells stand.
struct Grid {
  int left;
  int top;
  int cell_width;
  int cell_height;
  int width;
  int height;
  bool leaning;  // the column labels
};

Grid grid_of(const HeatMap& map) {
  const int rows = static_cast<int>(map.values.rows);
  const int columns = static_cast<int>(map.values.cols);
  Grid grid{};
  const bool numbers = map.scale == HeatScale::share;
  grid.cell_width = numbers ? kCellWidthNumber : kCellWidthPlain;
  grid.cell_height = numbers ? kCellHeightNumber : kCellHeightPlain;
  grid.left = longest(map.row_labels) * kCharWidth + 8;
  // Column labels that are wider than a column lean at 45 degrees: what they need above, and to the right of
  // the last.
  const int label_width = longest(map.column_labels) * kCharWidth;
  grid.leaning = label_width > grid.cell_width;
  const int lean = grid.leaning ? label_width * 7 / 10 : 6;
  grid.top = lean + 12;
  grid.width = grid.left + columns * grid.cell_width + std::max(4, lean - grid.cell_width / 2 + 6);
  grid.height = grid.top + rows * grid.cell_height + 2;
  return grid;
}

void append_labels(const HeatMap& map, const Grid& grid, std::string& out) {
  for (size_t c = 0; c < map.column_labels.size(); ++c) {
    const int x = grid.left + static_cast<int>(c) * grid.cell_width + grid.cell_width / 2;
    const std::string place =
        grid.leaning ? absl::StrFormat("transform=\"translate(%d %d) rotate(-45)\"", x + 3, grid.top - 6)
                     : absl::StrFormat("x=\"%d\" y=\"%d\"", x, grid.top - 5);
    absl::StrAppend(&out, "<text class=\"", grid.leaning ? "lb" : "lb n", "\" ", place, ">",
                    label(map.column_labels[c]), "</text>");
  }
  for (size_t r = 0; r < map.row_labels.size(); ++r) {
    const int y = grid.top + static_cast<int>(r) * grid.cell_height + grid.cell_height / 2 + 4;
    absl::StrAppendFormat(&out, "<text class=\"lb\" x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>",
                          grid.left - 5, y, label(map.row_labels[r]));
  }
}

void append_cell(const HeatMap& map, const Grid& grid, int64_t row, int64_t column, std::string& out) {
  const double value = map.values.at(row, column);
  const Fill fill = fill_of(map, value);
  const int x = grid.left + static_cast<int>(column) * grid.cell_width;
  const int y = grid.top + static_cast<int>(row) * grid.cell_height;
  absl::StrAppendFormat(
      &out,
      "<g><title>%s %s, %s%s%s: %s%s</title><rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%d\" "
      "height=\"%d\" fill-opacity=\"%.3f\"/>",
      map.row_name, escape(map.row_labels[row]), map.column_name, map.column_name.empty() ? "" : " ",
      escape(map.column_labels[column]), cell_text(map, value), map.value_name, fill.below ? "lo" : "hi", x,
      y, grid.cell_width - 1, grid.cell_height - 1, fill.opacity);
  if (map.scale == HeatScale::share && value >= 0.0005) {
    const char* ink = fill.opacity > 0.55 ? "n on" : "n";
    const std::string number =
        value < 0.0995 ? absl::StrFormat("%.1f", 100 * value) : absl::StrFormat("%.0f", 100 * value);
    absl::StrAppendFormat(&out, "<text class=\"%s\" x=\"%d\" y=\"%d\">%s</text>", ink,
                          x + grid.cell_width / 2, y + 13, number);
  }
  out += "</g>";
}

}  // namespace

std::string escape(std::string_view bytes) {
  std::string out;
  for (const char c : visible_text(bytes)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string heat_map_svg(const HeatMap& map) {
  AGORA_CHECK_EQ(static_cast<int64_t>(map.row_labels.size()), map.values.rows);
  AGORA_CHECK_EQ(static_cast<int64_t>(map.column_labels.size()), map.values.cols);
  const Grid grid = grid_of(map);
  std::string out = absl::StrFormat(
      "<svg class=\"heat\" role=\"img\" aria-label=\"%s\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">",
      escape(map.title), grid.width, grid.height, grid.width, grid.height);
  append_labels(map, grid, out);
  for (int64_t row = 0; row < map.values.rows; ++row) {
    for (int64_t column = 0; column < map.values.cols; ++column) append_cell(map, grid, row, column, out);
  }
  return out + "</svg>";
}

std::string bar_svg(double value, double maximum, bool both_ways, double mark) {
  constexpr int kWidth = 120;
  constexpr int kHeight = 14;
  const double unit = maximum > 0 ? (both_ways ? kWidth / 2 : kWidth) / maximum : 0;
  const double zero = both_ways ? kWidth / 2 : 0;
  const double length =
      std::clamp(std::isfinite(value) ? value * unit : 0, both_ways ? -zero : 0.0, kWidth - zero);
  std::string out =
      absl::StrFormat("<svg class=\"bar\" aria-hidden=\"true\" width=\"%d\" height=\"%d\">", kWidth, kHeight);
  absl::StrAppendFormat(&out,
                        "<rect class=\"%s\" x=\"%.1f\" y=\"2\" width=\"%.1f\" height=\"10\" rx=\"1.5\"/>",
                        length < 0 ? "lo" : "hi", length < 0 ? zero + length : zero, std::abs(length));
  if (both_ways) absl::StrAppendFormat(&out, "<path class=\"ax\" d=\"M%.1f 0V%d\"/>", zero, kHeight);
  if (mark >= 0)
    absl::StrAppendFormat(&out, "<path class=\"mk\" d=\"M%.1f 0V%d\"/>", zero + mark * unit, kHeight);
  return out + "</svg>";
}

std::string information_svg(const std::vector<train::MutualInformation>& layers) {
  constexpr int kLeft = 64;
  constexpr int kWidth = 420;
  constexpr int kRow = 26;
  double maximum = 1e-3;
  for (const train::MutualInformation& mi : layers) maximum = std::max({maximum, mi.bits, mi.null_q95_bits});
  const double unit = kWidth / maximum;
  const int height = static_cast<int>(layers.size()) * kRow + 24;
  std::string out = absl::StrFormat(
      "<svg class=\"mi\" role=\"img\" aria-label=\"Mutual information of expert and domain by layer\" "
      "width=\"%d\" "
      "height=\"%d\" viewBox=\"0 0 %d %d\">",
      kLeft + kWidth + 60, height, kLeft + kWidth + 60, height);
  for (size_t l = 0; l < layers.size(); ++l) {
    const train::MutualInformation& mi = layers[l];
    const int y = static_cast<int>(l) * kRow + kRow / 2;
    absl::StrAppendFormat(
        &out, "<g><title>layer %d: %.4f bits; by chance %.4f on average, 95 %% below %.4f</title>", l,
        mi.bits, mi.null_mean_bits, mi.null_q95_bits);
    absl::StrAppendFormat(&out, "<text class=\"lb\" x=\"%d\" y=\"%d\" text-anchor=\"end\">layer %d</text>",
                          kLeft - 8, y + 4, l);
    absl::StrAppendFormat(&out, "<path class=\"ax\" d=\"M%d %dH%d\"/>", kLeft, y, kLeft + kWidth);
    absl::StrAppendFormat(&out,
                          "<rect class=\"null\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"14\" rx=\"2\"/>",
                          kLeft, y - 7, mi.null_q95_bits * unit);
    absl::StrAppendFormat(&out, "<path class=\"stem\" d=\"M%d %dH%.1f\"/>", kLeft, y, kLeft + mi.bits * unit);
    absl::StrAppendFormat(&out, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%d\" r=\"5\"/>",
                          kLeft + mi.bits * unit, y);
    absl::StrAppendFormat(&out, "<text class=\"lb\" x=\"%.1f\" y=\"%d\">%.3f</text></g>",
                          kLeft + mi.bits * unit + 10, y + 4, mi.bits);
  }
  absl::StrAppendFormat(&out, "<text class=\"lb\" x=\"%d\" y=\"%d\">0 bits</text>", kLeft, height - 6);
  return out + "</svg>";
}

}  // namespace agora::cli
