// Tables of numbers from CSV with a header line.
//
//   AGORA_ASSIGN_OR_RETURN(CsvTable table, read_csv("vowel.train"));
//   AGORA_ASSIGN_OR_RETURN(int64_t y, table.number_column("y"));
//   float v = table.at(row, y);
//
// RFC 4180: quoted fields, "" inside quotes, CRLF or LF. A field that is empty, NA, NaN or ? is missing: NaN.
// A column with any other text is a column of categories: its values are 0, 1, ... in the order of first
// appearance. A number that is infinite or does not fit a float is an error. Errors name file, line and
// column. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agora/base/result.h"

namespace agora::train {

constexpr int64_t kCsvBytesMax = 2'000'000'000;
constexpr size_t kCsvColumnsMax = 100'000;

struct Column {
  std::string name;                     // without spaces around it
  std::vector<std::string> categories;  // empty: a column of numbers
  std::string first_text;               // where it was seen that these are no numbers: line 7, "abc"
};

struct CsvTable {
  std::string file;
  std::vector<Column> columns;
  int64_t rows = 0;
  std::vector<float> values;  // [rows, columns]

  float at(int64_t row, int64_t column) const {
    return values[static_cast<size_t>(row * static_cast<int64_t>(columns.size()) + column)];
  }
  StatusOr<int64_t> column(std::string_view name) const;         // or an error that lists the names
  StatusOr<int64_t> number_column(std::string_view name) const;  // and that it is not one of categories
};

StatusOr<CsvTable> read_csv(const std::string& path);  // plain or gzip
StatusOr<CsvTable> parse_csv(std::string_view text, const std::string& file);

}  // namespace agora::train
