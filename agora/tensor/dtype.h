// Element types, and the two 16-bit floats as storage-only values.
//
//   bf16 x = to_bf16(1.5f);   float y = to_float(x);
//
// Conversion to bf16 rounds to nearest, ties to even; NaN stays NaN. Any thread (values).
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

namespace agora::tensor {

struct bf16 {  // NOLINT: named like float, it is one
  uint16_t bits = 0;
};

struct f16 {  // NOLINT
  uint16_t bits = 0;
};

constexpr float to_float(bf16 x) { return std::bit_cast<float>(uint32_t{x.bits} << 16); }

constexpr bf16 to_bf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return bf16{static_cast<uint16_t>((bits >> 16) | 0x40u)};
  return bf16{static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

float to_float(f16 x);
f16 to_f16(float x);  // nearest, ties to even; overflow gives infinity

// Of the elements in a safetensors file. Nothing here computes with those from u64 on: they are known so that
// a file which has them can be looked at, and its tensors refused by name.
enum class DType : uint8_t {
  f64,
  f32,
  bf16,
  f16,
  i64,
  i32,
  i16,
  i8,
  u8,
  boolean,
  u64,
  u32,
  u16,
  f8_e4m3,
  f8_e5m2,
  f8_e8m0
};

// Bytes of one element.
int64_t size_of(DType dtype);
// The name used in safetensors headers: "F32", "BF16", ...
std::string_view name_of(DType dtype);

}  // namespace agora::tensor
