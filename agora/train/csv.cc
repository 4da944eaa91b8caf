#include "agora/train/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "agora/base/text.h"
#include "agora/train/gzip_file.h"

namespace agora::train {

using base::concat;
using base::in_quotes;

namespace {

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// One field after the other; knows the line for messages.
class CsvReader {
 public:
  CsvReader(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  bool at_end() const { return at_ >= text_.size(); }
  int64_t line() const { return line_; }

  // The next field, unquoted; *last tells whether its record ends here.
  Status next(std::string* field, bool* last) {
    field->clear();
    if (at_ < text_.size() && text_[at_] == '"') {
      AGORA_RETURN_IF_ERROR(read_quoted(field));
    } else {
      const size_t end = std::min(text_.find_first_of(",\n", at_), text_.size());
      *field = text_.substr(at_, end - at_);
      at_ = end;
      if (!field->empty() && field->back() == '\r' && (at_ >= text_.size() || text_[at_] == '\n'))
        field->pop_back();
    }
    *last = at_ >= text_.size() || text_[at_] == '\n';
    line_ += at_ < text_.size() && text_[at_] == '\n';
    ++at_;
    return absl::OkStatus();
  }

  // Lines without anything are skipped, as most writers of tables end with one.
  void skip_empty_lines() {
    while (at_ < text_.size() && (text_[at_] == '\n' || text_.substr(at_).starts_with("\r\n"))) {
      at_ += text_[at_] == '\n' ? 1 : 2;
      ++line_;
    }
  }

  Status bad(int64_t line, const std::string& what) const {
    return absl::InvalidArgumentError(concat(file_, " line ", line, ": ", what));
  }

 private:
  Status read_quoted(std::string* field) {
    const int64_t first_line = line_;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"') {
        if (++at_ >= text_.size() || text_[at_] != '"') return end_quoted();
      }
      line_ += text_[at_] == '\n';
      *field += text_[at_];
    }
    return bad(first_line, "a quoted field is not closed before the end of the file");
  }

  Status end_quoted() {
    if (text_.substr(at_).starts_with("\r\n")) ++at_;
    if (at_ >= text_.size() || text_[at_] == ',' || text_[at_] == '\n') return absl::OkStatus();
    return bad(line_, "a quoted field must be followed by a comma or the end of the line");
  }

  std::string_view text_;
  const std::string& file_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

bool is_missing(std::string_view field) {
  return field.empty() || field == "NA" || field == "NaN" || field == "nan" || field == "?";
}

enum class Number : uint8_t { finite, none, unusable };

// unusable: a number, but infinite or beyond a float.
Number parse_number(std::string_view field, float* value) {
  if (field.starts_with('+')) field.remove_prefix(1);
  double wide = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), wide);
  if (error == std::errc::invalid_argument || end != field.data() + field.size()) return Number::none;
  *value = static_cast<float>(wide);
  return error == std::errc() && std::isfinite(*value) ? Number::finite : Number::unusable;
}

class CsvBuilder {
 public:
  explicit CsvBuilder(CsvTable* table) : table_(table) {}

  Status read_names(CsvReader& in) {
    std::unordered_set<std::string> seen;
    std::string field;
    for (bool last = false; !last;) {
      AGORA_RETURN_IF_ERROR(in.next(&field, &last));
      const std::string name(trimmed(field));
      if (!seen.insert(name).second) return in.bad(1, concat("two columns have the name ", in_quotes(name)));
      if (seen.size() > kCsvColumnsMax)
        return in.bad(1, concat("it has more than ", kCsvColumnsMax, " columns"));
      table_->columns.push_back({.name = name, .categories = {}, .first_text = {}});
    }
    unusable_.resize(table_->columns.size());
    return absl::OkStatus();
  }

  // All fields as numbers, NaN where there is none.
  Status read_numbers(CsvReader in) {
    return each_field(in, [this](int64_t line, size_t column, std::string_view field) {
      table_->values.push_back(number(line, column, field));
      table_->rows += column == 0;
    });
  }

  // The same rows again, where read_numbers() met text. A number that no float holds is an error in the other
  // columns.
  Status read_categories(CsvReader in) {
    bool any = false;
    for (size_t c = 0; c < table_->columns.size(); ++c) {
      const bool is_text = !table_->columns[c].first_text.empty();
      if (!is_text && !unusable_[c].ok()) return unusable_[c];
      any = any || is_text;
    }
    if (!any) return absl::OkStatus();
    std::vector<std::unordered_map<std::string, float>> known(table_->columns.size());
    size_t next = 0;
    return each_field(in, [&](int64_t, size_t c, std::string_view field) {
      Column& column = table_->columns[c];
      float& value = table_->values[next++];
      if (column.first_text.empty()) return;
      value = std::numeric_limits<float>::quiet_NaN();
      if (is_missing(field)) return;
      const auto [found, is_new] = known[c].emplace(field, static_cast<float>(column.categories.size()));
      if (is_new) column.categories.emplace_back(field);
      value = found->second;
    });
  }

 private:
  template <class Use>
  Status each_field(CsvReader& in, Use use) {
    const size_t width = table_->columns.size();
    std::string field;
    for (in.skip_empty_lines(); !in.at_end(); in.skip_empty_lines()) {
      const int64_t line = in.line();
      size_t column = 0;
      for (bool last = false; !last; ++column) {
        AGORA_RETURN_IF_ERROR(in.next(&field, &last));
        if (column < width) use(line, column, trimmed(field));
      }
      if (column != width) return in.bad(line, concat("it has ", column, " fields, the header has ", width));
    }
    return absl::OkStatus();
  }

  float number(int64_t line, size_t c, std::string_view field) {
    Column& column = table_->columns[c];
    float value = std::numeric_limits<float>::quiet_NaN();
    if (is_missing(field)) return value;
    const Number kind = parse_number(field, &value);
    if (kind == Number::none && column.first_text.empty()) {
      column.first_text = concat("line ", line, ", ", in_quotes(field));
    }
    if (kind == Number::unusable && unusable_[c].ok()) {
      unusable_[c] =
          absl::InvalidArgumentError(concat(table_->file, " line ", line, ": column ", in_quotes(column.name),
                                            " has ", in_quotes(field), ", expected a finite number"));
    }
    return value;
  }

  CsvTable* table_;
  std::vector<Status> unusable_;  // by column: its first number that no float holds
};

}  // namespace

StatusOr<CsvTable> parse_csv(std::string_view text, const std::string& file) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  CsvReader in(text, file);
  if (in.at_end())
    return absl::InvalidArgumentError(concat(file, ": it is empty, expected a line of column names"));
  CsvTable table;
  table.file = file;
  CsvBuilder builder(&table);
  AGORA_RETURN_IF_ERROR(builder.read_names(in));
  AGORA_RETURN_IF_ERROR(builder.read_numbers(in));
  if (table.rows == 0)
    return absl::InvalidArgumentError(concat(file, ": no rows follow the line of column names"));
  AGORA_RETURN_IF_ERROR(builder.read_categories(in));
  return table;
}

StatusOr<CsvTable> read_csv(const std::string& path) {
  AGORA_ASSIGN_OR_RETURN(const FileStart start, read_start(path, kCsvBytesMax));
  if (!start.more) return parse_csv(start.bytes, path);
  return absl::InvalidArgumentError(concat(path, ": it has more than ", kCsvBytesMax, " bytes"));
}

StatusOr<int64_t> CsvTable::column(std::string_view name) const {
  std::string names;
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].name == name) return static_cast<int64_t>(i);
    if (i < 20) names += concat(i == 0 ? "" : ", ", in_quotes(columns[i].name));
  }
  return absl::InvalidArgumentError(concat(file, ": there is no column ", in_quotes(name), "; it has ", names,
                                           columns.size() > 20 ? ", ..." : ""));
}

StatusOr<int64_t> CsvTable::number_column(std::string_view name) const {
  AGORA_ASSIGN_OR_RETURN(const int64_t index, column(name));
  const Column& found = columns[static_cast<size_t>(index)];
  if (found.first_text.empty()) return index;
  return absl::InvalidArgumentError(
      concat(file, ": column ", in_quotes(name), " must be numbers, but has text: ", found.first_text));
}

}  // namespace agora::train
