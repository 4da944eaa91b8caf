#include "agora/swarm/wire/rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "absl/strings/str_format.h"
#include "agora/base/check.h"
#include "agora/swarm/wire/message.h"
#include "agora/tensor/dtype.h"

namespace agora::swarm {
namespace {

static_assert(std::endian::native == std::endian::little, "rows travel as they lie in memory");

constexpr float kByteMax = 127.0f;

int64_t element_bytes(RowDtype dtype) {
  switch (dtype) {
    case RowDtype::f32:
      return 4;
    case RowDtype::bf16:
      return 2;
    case RowDtype::int8:
      return 1;
  }
  return 0;
}

// On bits: NaN and infinity have all ones for an exponent. Compared and gathered without a branch, which
// every processor's vectors can.
bool finite(const float* row, int64_t d) {
  constexpr uint32_t kExponent = 0x7f800000u;
  uint32_t found = 0;
  for (int64_t i = 0; i < d; ++i) {
    found |= (std::bit_cast<uint32_t>(row[i]) & kExponent) == kExponent ? UINT32_MAX : 0u;
  }
  return found == 0;
}

void pack_bf16(const float* row, int64_t d, std::byte* to) {
  for (int64_t i = 0; i < d; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(row[i]);  // finite: nothing to keep a NaN's bits from
    const auto rounded = static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
    std::memcpy(to + 2 * i, &rounded, sizeof rounded);
  }
}

void unpack_bf16(const std::byte* from, int64_t d, float* row) {
  for (int64_t i = 0; i < d; ++i) {
    uint16_t bits;
    std::memcpy(&bits, from + 2 * i, sizeof bits);
    row[i] = std::bit_cast<float>(uint32_t{bits} << 16);
  }
}

// Returns the scale. Without infinities: the largest magnitude becomes 127 exactly.
float pack_int8(const float* row, int64_t d, std::byte* to) {
  float largest = 0.0f;
  for (int64_t i = 0; i < d; ++i) largest = std::max(largest, std::abs(row[i]));
  const float scale = largest / kByteMax;
  // Below the normal numbers a reciprocal would overflow: such a row is 0 to everybody.
  const float inverse = scale < 0x1p-126f ? 0.0f : 1.0f / scale;
  for (int64_t i = 0; i < d; ++i) {
    const float value = std::clamp(row[i] * inverse, -kByteMax, kByteMax);
    to[i] = static_cast<std::byte>(static_cast<int8_t>(value + std::copysign(0.5f, value)));
  }
  return inverse == 0.0f ? 0.0f : scale;
}

void unpack_int8(const std::byte* from, float scale, int64_t d, float* row) {
  for (int64_t i = 0; i < d; ++i) row[i] = scale * static_cast<float>(static_cast<int8_t>(from[i]));
}

void write_row(RowDtype dtype, const float* row, int64_t d, int64_t r, int64_t rows, std::byte* block) {
  switch (dtype) {
    case RowDtype::f32:
      std::memcpy(block + r * d * 4, row, static_cast<size_t>(d) * 4);
      return;
    case RowDtype::bf16:
      return pack_bf16(row, d, block + r * d * 2);
    case RowDtype::int8: {
      const float scale = pack_int8(row, d, block + rows * 4 + r * d);
      std::memcpy(block + r * 4, &scale, sizeof scale);
      return;
    }
  }
}

void read_row(const RowBlock& block, int64_t r, float* row) {
  const std::byte* from = block.bytes.data();
  const int64_t d = block.cols;
  switch (block.dtype) {
    case RowDtype::f32:
      std::memcpy(row, from + r * d * 4, static_cast<size_t>(d) * 4);
      return;
    case RowDtype::bf16:
      return unpack_bf16(from + r * d * 2, d, row);
    case RowDtype::int8: {
      float scale;
      std::memcpy(&scale, from + r * 4, sizeof scale);
      return unpack_int8(from + block.rows * 4 + r * d, scale, d, row);
    }
  }
}

Status not_finite(int64_t row) {
  return absl::InvalidArgumentError(absl::StrFormat("row %d of the message holds a NaN or an infinity", row));
}

}  // namespace

size_t row_block_bytes(RowDtype dtype, int64_t rows, int64_t cols) {
  const int64_t scales = dtype == RowDtype::int8 ? 4 * rows : 0;
  return static_cast<size_t>(scales + rows * cols * element_bytes(dtype));
}

void write_rows(RowDtype dtype, tensor::View<const float> x, std::byte* to) {
  for (int64_t r = 0; r < x.rows; ++r) write_row(dtype, x.row(r), x.cols, r, x.rows, to);
}

void write_rows(RowDtype dtype, tensor::View<const float> x, std::span<const int32_t> which, std::byte* to) {
  const auto rows = static_cast<int64_t>(which.size());
  for (int64_t r = 0; r < rows; ++r) write_row(dtype, x.row(which[r]), x.cols, r, rows, to);
}

Status RowBlock::unpack(tensor::View<float> to) const {
  AGORA_CHECK(to.rows == rows && (to.cols == cols || rows == 0));
  for (int64_t r = 0; r < rows; ++r) {
    read_row(*this, r, to.row(r));
    if (!finite(to.row(r), cols)) return not_finite(r);
  }
  return absl::OkStatus();
}

StatusOr<std::optional<tensor::View<const float>>> RowBlock::in_place() const {
  const bool aligned = reinterpret_cast<uintptr_t>(bytes.data()) % alignof(float) == 0;
  if (dtype != RowDtype::f32 || !aligned) return std::nullopt;
  const tensor::View<const float> view(reinterpret_cast<const float*>(bytes.data()), rows, cols);
  const int64_t bad = first_row_not_finite(view);
  if (bad != rows) return not_finite(bad);
  return view;
}

int64_t first_row_not_finite(tensor::View<const float> x) {
  for (int64_t r = 0; r < x.rows; ++r) {
    if (!finite(x.row(r), x.cols)) return r;
  }
  return x.rows;
}

StatusOr<RowBlock> read_row_block(base::ByteReader& in, uint8_t dtype, int64_t rows, int64_t cols,
                                  std::string_view message) {
  if (dtype > static_cast<uint8_t>(RowDtype::int8)) {
    return malformed(message, absl::StrFormat("unknown row type %d: 0 is f32, 1 bf16, 2 int8", dtype));
  }
  RowBlock block{.dtype = static_cast<RowDtype>(dtype), .rows = rows, .cols = cols, .bytes = {}};
  const size_t bytes = row_block_bytes(block.dtype, rows, cols);
  if (!in.take(bytes, &block.bytes)) {
    return malformed(message, absl::StrFormat("%d rows of %d need %d bytes, %d are there", rows, cols, bytes,
                                              in.remaining()));
  }
  return block;
}

}  // namespace agora::swarm
