#include "agora/moe/classic/examples.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/str_format.h"
#include "agora/base/check.h"

namespace agora::moe::classic {

namespace {

Status check_finite(const Matrix& m, const char* name) {
  for (int64_t r = 0; r < m.rows; ++r) {
    for (const double v : m.row(r)) {
      if (!std::isfinite(v)) {
        return absl::InvalidArgumentError(
            absl::StrFormat("%s: row %d holds %g; every value must be finite", name, r, v));
      }
    }
  }
  return absl::OkStatus();
}

Status check_targets(const Examples& e) {
  if (e.task() == Task::regression) {
    if (e.d.rows != e.rows() || e.d.cols < 1) {
      return absl::InvalidArgumentError(
          absl::StrFormat("expected %d rows of targets, at least one number each; got [%d, %d]", e.rows(),
                          e.d.rows, e.d.cols));
    }
    return check_finite(e.d, "targets");
  }
  if (static_cast<int64_t>(e.label.size()) != e.rows()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("expected %d labels, got %d", e.rows(), e.label.size()));
  }
  for (size_t n = 0; n < e.label.size(); ++n) {
    if (e.label[n] < 0 || e.label[n] >= e.classes) {
      return absl::InvalidArgumentError(
          absl::StrFormat("row %d has label %d; expected 0 to %d", n, e.label[n], e.classes - 1));
    }
  }
  return absl::OkStatus();
}

std::string text_of(const ExampleShape& shape) {
  return absl::StrFormat("%d columns to %d %s", shape.width, shape.outputs,
                         shape.task == Task::regression ? "numbers" : "classes");
}

}  // namespace

Status validate(const Examples& examples) {
  if (examples.rows() < 1 || examples.width() < 1) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "expected at least one row and one column; got [%d, %d]", examples.rows(), examples.width()));
  }
  AGORA_RETURN_IF_ERROR(check_finite(examples.x, "inputs"));
  return check_targets(examples);
}

Status validate(const Examples& examples, const Examples* held_out, const ExampleShape& shape) {
  for (const Examples* each : {&examples, held_out}) {
    if (each == nullptr) continue;
    AGORA_RETURN_IF_ERROR(validate(*each));
    if (each->shape() != shape) {
      return absl::InvalidArgumentError(
          absl::StrFormat("the mixture takes %s; got %s", text_of(shape), text_of(each->shape())));
    }
  }
  return absl::OkStatus();
}

Examples select(const Examples& examples, std::span<const int64_t> which) {
  Examples chosen;
  const auto count = static_cast<int64_t>(which.size());
  chosen.classes = examples.classes;
  chosen.x = Matrix(count, examples.width());
  if (examples.task() == Task::regression) chosen.d = Matrix(count, examples.d.cols);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t from = which[i];
    AGORA_CHECK(from >= 0 && from < examples.rows());
    std::ranges::copy(examples.x.row(from), chosen.x.row(i).begin());
    if (examples.task() == Task::regression) {
      std::ranges::copy(examples.d.row(from), chosen.d.row(i).begin());
    } else {
      chosen.label.push_back(examples.label[from]);
    }
  }
  return chosen;
}

double accuracy(const Matrix& output, const Examples& examples) {
  AGORA_CHECK_EQ(output.rows, examples.rows());
  AGORA_CHECK(examples.task() == Task::classification);
  int64_t right = 0;
  for (int64_t n = 0; n < output.rows; ++n) {
    const auto row = output.row(n);
    right += std::ranges::max_element(row) - row.begin() == examples.label[n];
  }
  return output.rows == 0 ? 0.0 : static_cast<double>(right) / static_cast<double>(output.rows);
}

}  // namespace agora::moe::classic
