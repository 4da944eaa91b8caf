#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "agora/base/text.h"
#include "agora/weights/safetensors.h"
#include "agora/weights/safetensors_header.h"

namespace agora::weights {

using base::concat;
using base::in_quotes;
using base::listed;

namespace {

float to_float(float x) { return x; }
float to_float(double x) { return static_cast<float>(x); }
using tensor::to_float;

// Elements lie at any address in a file, hence memcpy.
template <class From>
void convert(const std::byte* from, std::span<float> to) {
  for (size_t i = 0; i < to.size(); ++i) {
    From value;
    std::memcpy(&value, from + i * sizeof(From), sizeof(From));
    to[i] = to_float(value);
  }
}

using ConvertRow = void (*)(const std::byte*, std::span<float>);

ConvertRow converter_from(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return convert<float>;
    case DType::f64:
      return convert<double>;
    case DType::bf16:
      return convert<tensor::bf16>;
    case DType::f16:
      return convert<tensor::f16>;
    default:
      return nullptr;
  }
}

// Looks at the exponents without a branch a value, so that the loop vectorizes.
bool all_finite(std::span<const float> values) {
  constexpr uint32_t kExponent = 0x7f800000u;
  uint32_t bad = 0;
  for (const float value : values) bad |= (std::bit_cast<uint32_t>(value) & kExponent) == kExponent ? 1u : 0u;
  return bad == 0;
}

bool fits(const TensorRef& tensor, View<float> out) {
  if (tensor.count() != out.size()) return false;
  if (tensor.shape.size() == 2) return tensor.shape[0] == out.rows && tensor.shape[1] == out.cols;
  return out.rows == 1 || (!tensor.shape.empty() && tensor.shape.back() == out.cols);
}

Status non_finite_error(const TensorRef& tensor, int64_t row, std::span<const float> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    const int64_t element = row * static_cast<int64_t>(values.size()) + static_cast<int64_t>(i);
    return absl::DataLossError(concat(tensor.file, ": tensor ", in_quotes(tensor.name), " holds ", values[i],
                                      " at element ", element, ", expected finite numbers"));
  }
  return absl::OkStatus();
}

}  // namespace

Status read_f32(const TensorRef& tensor, View<float> out, NonFinite non_finite) {
  if (!fits(tensor, out)) {
    return absl::InvalidArgumentError(concat(tensor.file, ": tensor ", in_quotes(tensor.name), " has shape ",
                                             listed(tensor.shape), ", expected ",
                                             listed(std::array{out.rows, out.cols})));
  }
  const ConvertRow convert_row = converter_from(tensor.dtype);
  if (convert_row == nullptr) {
    return absl::InvalidArgumentError(concat(tensor.file, ": tensor ", in_quotes(tensor.name), " has dtype ",
                                             tensor::name_of(tensor.dtype),
                                             ", expected F32, F64, BF16 or F16"));
  }
  const int64_t row_bytes = out.cols * tensor::size_of(tensor.dtype);
  for (int64_t r = 0; r < out.rows; ++r) {
    convert_row(tensor.bytes.data() + r * row_bytes, out.row_span(r));
    if (non_finite == NonFinite::refuse && !all_finite(out.row_span(r))) {
      return non_finite_error(tensor, r, out.row_span(r));
    }
  }
  return absl::OkStatus();
}

}  // namespace agora::weights
