#include "agora/swarm/wire/rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_format.h"
#include "agora/base/check.h"
#include "agora/swarm/wire/message.h"
#include "agora/tensor/dtype.h"

namespace agora::swarm {
namespace {

static_assert(std::endian::native == std::endian::little, "rows travel as they lie in memory");

constexpr float kByteMax = 127.0f;
constexpr uint32_t kInfinityBits = 0x7f800000u;

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

// On bits, as they lie: NaN and infinity have all ones for an exponent. Compared and gathered without a
// branch, which every processor's vectors can.
template <class Bits>
bool finite(const std::byte* row, int64_t d, Bits exponent) {
  Bits found = 0;
  for (int64_t i = 0; i < d; ++i) {
    Bits bits;
    std::memcpy(&bits, row + i * int64_t{sizeof(Bits)}, sizeof bits);
    found |= static_cast<Bits>((bits & exponent) == exponent ? ~Bits{0} : Bits{0});
  }
  return found == 0;
}

bool finite(const float* row, int64_t d) {
  return finite<uint32_t>(reinterpret_cast<const std::byte*>(row), d, kInfinityBits);
}

void pack_bf16(const float* row, int64_t d, std::byte* to) {
  for (int64_t i = 0; i < d; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(row[i]);  // finite: nothing to keep a NaN's bits from
    const auto rounded = static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
    std::memcpy(to + 2 * i, &rounded, sizeof rounded);
  }
}

// Returns the scale. The largest magnitude becomes 127 exactly. Of a NaN or an infinity, which have the
// largest bits, the scale is one too: the reader refuses the row.
float pack_int8(const float* row, int64_t d, std::byte* to) {
  uint32_t largest_bits = 0;
  for (int64_t i = 0; i < d; ++i)
    largest_bits = std::max(largest_bits, std::bit_cast<uint32_t>(std::abs(row[i])));
  const float scale = std::bit_cast<float>(largest_bits) / kByteMax;
  if (largest_bits >= kInfinityBits) {
    std::fill_n(to, d, std::byte{0});
    return scale;
  }
  // Below the normal numbers a reciprocal would overflow: such a row is 0 to everybody.
  const float inverse = scale < 0x1p-126f ? 0.0f : 1.0f / scale;
  for (int64_t i = 0; i < d; ++i) {
    const float value = std::clamp(row[i] * inverse, -kByteMax, kByteMax);
    to[i] = static_cast<std::byte>(static_cast<int8_t>(value + std::copysign(0.5f, value)));
  }
  return inverse == 0.0f ? 0.0f : scale;
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

float scale_of(const RowBlock& block, int64_t r) {
  float scale;
  std::memcpy(&scale, block.bytes.data() + r * 4, sizeof scale);
  return scale;
}

// An int8 row is if every value that its scale allows is: of -128 too, which nobody of ours writes.
bool row_is_finite(const RowBlock& block, int64_t r) {
  const std::byte* from = block.bytes.data();
  const int64_t d = block.cols;
  switch (block.dtype) {
    case RowDtype::f32:
      return finite<uint32_t>(from + r * d * 4, d, kInfinityBits);
    case RowDtype::bf16:
      return finite<uint16_t>(from + r * d * 2, d, 0x7f80u);
    case RowDtype::int8:
      return std::isfinite(scale_of(block, r) * (kByteMax + 1));
  }
  return false;
}

// take(i, value) for every element of the row.
template <class Take>
void read_row(const RowBlock& block, int64_t r, Take take) {
  const int64_t d = block.cols;
  const std::byte* from = block.bytes.data();
  switch (block.dtype) {
    case RowDtype::f32:
      from += r * d * 4;
      for (int64_t i = 0; i < d; ++i) {
        float value;
        std::memcpy(&value, from + 4 * i, sizeof value);
        take(i, value);
      }
      return;
    case RowDtype::bf16:
      from += r * d * 2;
      for (int64_t i = 0; i < d; ++i) {
        uint16_t bits;
        std::memcpy(&bits, from + 2 * i, sizeof bits);
        take(i, std::bit_cast<float>(uint32_t{bits} << 16));
      }
      return;
    case RowDtype::int8: {
      const float scale = scale_of(block, r);
      from += block.rows * 4 + r * d;
      for (int64_t i = 0; i < d; ++i) take(i, scale * static_cast<float>(static_cast<int8_t>(from[i])));
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

Status RowBlock::check() const {
  for (int64_t r = 0; r < rows; ++r) {
    if (!row_is_finite(*this, r)) return not_finite(r);
  }
  return absl::OkStatus();
}

Status RowBlock::unpack(tensor::View<float> to) const {
  AGORA_CHECK(to.rows == rows && (to.cols == cols || rows == 0));
  for (int64_t r = 0; r < rows; ++r) {
    if (!row_is_finite(*this, r)) return not_finite(r);
    float* __restrict row = to.row(r);
    read_row(*this, r, [&](int64_t i, float value) { row[i] = value; });
  }
  return absl::OkStatus();
}

void RowSum::add(const RowBlock& block, int64_t row, int64_t to_row) {
  float* __restrict to = sum_.row(to_row);
  if (std::exchange(begun_[to_row], 1) == 0) {
    read_row(block, row, [&](int64_t i, float value) { to[i] = 0.0f + value; });  // 0 + -0 is 0
  } else {
    read_row(block, row, [&](int64_t i, float value) { to[i] += value; });
  }
}

void RowSum::add(const RowBlock& block, std::span<const int32_t> to_rows) {
  for (size_t r = 0; r < to_rows.size(); ++r) add(block, static_cast<int64_t>(r), to_rows[r]);
}

void RowSum::end() {
  for (int64_t r = 0; r < sum_.rows; ++r) {
    if (begun_[r] == 0) std::fill_n(sum_.row(r), sum_.cols, 0.0f);
  }
}

StatusOr<std::optional<tensor::View<const float>>> RowBlock::in_place() const {
  const bool aligned = reinterpret_cast<uintptr_t>(bytes.data()) % alignof(float) == 0;
  if (dtype != RowDtype::f32 || !aligned) return std::nullopt;
  AGORA_RETURN_IF_ERROR(check());
  return tensor::View<const float>(reinterpret_cast<const float*>(bytes.data()), rows, cols);
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
