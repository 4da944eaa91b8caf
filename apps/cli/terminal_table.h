// An aligned table that fits the terminal: numbers to the right, the widest text columns cut with … where it
// is too wide.
//
//   TerminalTable table({{"domain"}, {"tokens", Align::right}, {"perplexity", Align::right}});
//   table.add_row({"python", "12,345", "8.31"});
//   std::cout << table.text(device.columns);
//
// Cells are shown through visible_text: any bytes may be given. No colours. One thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/cli/terminal_text.h"

namespace agora::cli {

struct TableColumn {
  std::string title;
  Align align = Align::left;
};

class TerminalTable {
 public:
  explicit TerminalTable(std::vector<TableColumn> columns);

  // One cell a column: missing cells are empty, a cell too many is a bug.
  void add_row(std::vector<std::string> cells);

  // A title line, a rule, the rows; every line ends with a line feed and is at most `columns` wide, as long
  // as that leaves each column kCellColumnsMin. Right-aligned columns give way last.
  std::string text(int columns) const;

  static constexpr int kCellColumnsMin = 3;

 private:
  std::vector<int> widths(int columns) const;
  void append_line(const std::vector<std::string>& cells, const std::vector<int>& widths,
                   std::string& out) const;

  std::vector<TableColumn> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// 1234567 -> "1,234,567".
std::string with_thousands(int64_t number);

// Seconds as people say them: "48 s", "3 min 05 s", "2 h 07 min", "4 d 03 h"; "?" where negative or not
// finite.
std::string duration_text(double seconds);

}  // namespace agora::cli
