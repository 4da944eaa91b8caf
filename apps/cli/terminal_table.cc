#include "apps/cli/terminal_table.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agora/base/check.h"

namespace agora::cli {
namespace {

constexpr int kGap = 2;  // spaces between columns

// Takes `excess` columns of width from the widest of the columns allowed, one by one. Returns what could not
// be taken.
template <class Allowed>
int shrink(std::vector<int>& widths, int excess, Allowed allowed) {
  while (excess > 0) {
    int widest = -1;
    for (int c = 0; c < static_cast<int>(widths.size()); ++c) {
      if (allowed(c) && widths[c] > TerminalTable::kCellColumnsMin &&
          (widest < 0 || widths[c] > widths[widest]))
        widest = c;
    }
    if (widest < 0) break;
    --widths[widest];
    --excess;
  }
  return excess;
}

}  // namespace

TerminalTable::TerminalTable(std::vector<TableColumn> columns) : columns_(std::move(columns)) {}

void TerminalTable::add_row(std::vector<std::string> cells) {
  AGORA_CHECK_LE(cells.size(), columns_.size());
  cells.resize(columns_.size());
  for (std::string& cell : cells) cell = visible_text(cell);
  rows_.push_back(std::move(cells));
}

std::vector<int> TerminalTable::widths(int columns) const {
  std::vector<int> widths;
  int excess = -kGap - columns;
  for (size_t c = 0; c < columns_.size(); ++c) {
    int width = display_width(columns_[c].title);
    for (const std::vector<std::string>& row : rows_) width = std::max(width, display_width(row[c]));
    widths.push_back(width);
    excess += width + kGap;
  }
  std::vector<size_t> may_go;
  for (size_t c = 0; c < columns_.size(); ++c) {
    if (columns_[c].may_go > 0) may_go.push_back(c);
  }
  std::ranges::stable_sort(may_go, std::greater<>(), [this](size_t c) { return columns_[c].may_go; });
  for (size_t i = 0; i < may_go.size() && excess > 0; ++i) {
    excess -= std::exchange(widths[may_go[i]], 0) + kGap;
  }
  excess = shrink(widths, excess, [this](int c) { return columns_[c].align == Align::left; });
  shrink(widths, excess, [](int) { return true; });
  return widths;
}

bool TerminalTable::left_out(size_t c, const std::vector<int>& widths) const {
  return columns_[c].may_go > 0 && widths[c] == 0;
}

void TerminalTable::append_line(const std::vector<std::string>& cells, const std::vector<int>& widths,
                                std::string& out) const {
  std::string line;
  bool first = true;
  for (size_t c = 0; c < cells.size(); ++c) {
    if (left_out(c, widths)) continue;
    if (!std::exchange(first, false)) line.append(kGap, ' ');
    line += fit(cells[c], widths[c], columns_[c].align);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  absl::StrAppend(&out, line, "\n");
}

std::string TerminalTable::text(int columns) const {
  const std::vector<int> widths = this->widths(columns);
  std::vector<std::string> titles;
  std::vector<std::string> rules;
  for (size_t c = 0; c < columns_.size(); ++c) {
    titles.push_back(columns_[c].title);
    std::string rule;
    for (int i = 0; i < widths[c]; ++i) rule += "─";
    rules.push_back(rule);
  }
  std::string out;
  append_line(titles, widths, out);
  append_line(rules, widths, out);
  for (const std::vector<std::string>& row : rows_) append_line(row, widths, out);
  return out;
}

std::string with_thousands(int64_t number) {
  const std::string digits = absl::StrCat(number);
  const size_t start = number < 0 ? 1 : 0;
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > start && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e12) return "?";
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 60) return absl::StrFormat("%d s", whole);
  if (whole < 3600) return absl::StrFormat("%d min %02d s", whole / 60, whole % 60);
  if (whole < 86400) return absl::StrFormat("%d h %02d min", whole / 3600, whole / 60 % 60);
  return absl::StrFormat("%d d %02d h", whole / 86400, whole / 3600 % 24);
}

}  // namespace agora::cli
