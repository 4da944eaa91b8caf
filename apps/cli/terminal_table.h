// An aligned table that fits the terminal: numbers to the right; where it is too wide, first the columns go
// that may, then the widest text columns are cut with ….
//
//   TerminalTable table({{"domain"}, {"tokens", Align::right}, {"files", Align::right, .may_go = 1}});
//   table.add_row({"python", "12,345", "83"});
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
  int may_go = 0;  // left out where there is no room for all: the highest first; 0: never
};

class TerminalTable {
 public:
  explicit TerminalTable(std::vector<TableColumn> columns);

  // One cell a column: missing cells are empty, a cell too many is a bug.
  void add_row(std::vector<std::string> cells);

  // A title line, a rule, the rows; every line ends with a line feed and is at most `columns` wide, as long
  // as that leaves each column kCellColumnsMin. Right-aligned columns are cut last.
  std::string text(int columns) const;

  static constexpr int kCellColumnsMin = 3;

 private:
  std::vector<int> widths(int columns) const;  // 0: left out
  bool left_out(size_t c, const std::vector<int>& widths) const;
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
