// What the classic mixtures learn from: rows of numbers, each with a vector to predict or a class to name.
//
//   Examples examples{.x = x, .label = labels, .classes = 11};      // classification
//   Examples examples{.x = x, .d = targets};                        // regression
//   AGORA_RETURN_IF_ERROR(validate(examples));
//
// The names follow Jacobs et al. 1991: x the input, d the desired output. Value types; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "agora/base/result.h"
#include "agora/moe/classic/linear_algebra.h"

namespace agora::moe::classic {

enum class Task : uint8_t { regression, classification };

// What a mixture was made for.
struct ExampleShape {
  int64_t width = 0;  // D
  Task task = Task::regression;
  int64_t outputs = 0;  // O

  bool operator==(const ExampleShape&) const = default;
};

struct Examples {
  Matrix x{};                    // [N, D]
  Matrix d{};                    // [N, O] in regression, empty in classification
  std::vector<int32_t> label{};  // [N] numbers in [0, classes) in classification, empty in regression
  int32_t classes = 0;           // 0 in regression

  int64_t rows() const { return x.rows; }
  int64_t width() const { return x.cols; }
  Task task() const { return classes > 0 ? Task::classification : Task::regression; }
  // Numbers an expert answers with: O in regression, the number of classes in classification.
  int64_t outputs() const { return classes > 0 ? classes : d.cols; }
  ExampleShape shape() const { return {width(), task(), outputs()}; }
};

// InvalidArgument for no rows, no columns, sizes that disagree, a value that is not finite, or a label out of
// range; it names the row.
Status validate(const Examples& examples);

// Both sets are valid and of this shape; held_out may be null.
Status validate(const Examples& examples, const Examples* held_out, const ExampleShape& shape);

// The rows named by `which`, in its order. Every number must be in [0, rows).
Examples select(const Examples& examples, std::span<const int64_t> which);

// The share of rows whose largest output [N, classes] is their label; the lower class wins a tie.
double accuracy(const Matrix& output, const Examples& examples);

}  // namespace agora::moe::classic
