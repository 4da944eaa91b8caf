// Tables of numbers from CSV with a header line.
//
//   AGORA_ASSIGN_OR_RETURN(CsvTable table, read_csv("vowel.train"));
//   AGORA_ASSIGN_OR_RETURN(int64_t y, table.column("y"));
//   float v = table.values[row * table.columns() + y];
//
// RFC 4180: quoted fields, "" inside quotes, CRLF or LF. A field that is empty, NA, NaN or ? is missing: NaN.
// A column with any other text is a column of categories: its values are numbers 0, 1, ... in the order of
// first appearance. Errors name file, line and column. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agora/base/result.h"

namespace agora::train {

struct CsvTable {
  std::vector<std::string> names;
  std::vector<std::vector<std::string>> categories;  // by column; empty: a column of numbers
  std::vector<float> values;                         // [rows, columns]
  int64_t rows = 0;

  int64_t columns() const { return static_cast<int64_t>(names.size()); }
  StatusOr<int64_t> column(std::string_view name) const;  // or an error that lists the names
};

StatusOr<CsvTable> read_csv(const std::string& path);
StatusOr<CsvTable> parse_csv(std::string_view text, const std::string& file);

}  // namespace agora::train
