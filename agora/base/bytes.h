// Bytes as a borrowed span, and numbers read from foreign bytes with every length checked first.
//
//   Bytes bytes = as_bytes(text);
//   uint64_t length = load_le<uint64_t>(bytes.data());   // the caller knows that 8 bytes are there
//   ByteReader in(bytes);
//   if (!in.read_be(&count) || !in.skip(count)) return too_short();
//
// Little and big endian on any machine, any alignment. Any thread (values).
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace agora::base {

using Bytes = std::span<const std::byte>;

inline Bytes as_bytes(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }
inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <std::unsigned_integral T>
T load_le(const std::byte* from) {
  uint64_t value = 0;
  for (size_t i = sizeof(T); i-- > 0;) value = value << 8 | static_cast<uint64_t>(from[i]);
  return static_cast<T>(value);
}

template <std::unsigned_integral T>
T load_be(const std::byte* from) {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value = value << 8 | static_cast<uint64_t>(from[i]);
  return static_cast<T>(value);
}

template <std::unsigned_integral T>
void store_le(T value, std::byte* to) {
  for (size_t i = 0; i < sizeof(T); ++i) to[i] = static_cast<std::byte>(value >> (8 * i));
}

// product = a * b; false when it does not fit or an operand is negative: for sizes that a file claims.
inline bool multiply_sizes(int64_t a, int64_t b, int64_t* product) {
  return a >= 0 && b >= 0 && !__builtin_mul_overflow(a, b, product);
}

// Reads forward through borrowed bytes. A read that does not fit returns false and moves nothing.
class ByteReader {
 public:
  explicit ByteReader(Bytes bytes) : rest_(bytes) {}

  size_t remaining() const { return rest_.size(); }
  Bytes rest() const { return rest_; }

  template <std::unsigned_integral T>
  bool read_le(T* value) {
    if (rest_.size() < sizeof(T)) return false;
    *value = load_le<T>(rest_.data());
    return skip(sizeof(T));
  }
  template <std::unsigned_integral T>
  bool read_be(T* value) {
    if (rest_.size() < sizeof(T)) return false;
    *value = load_be<T>(rest_.data());
    return skip(sizeof(T));
  }
  bool take(uint64_t count, Bytes* bytes) {
    if (count > rest_.size()) return false;
    *bytes = rest_.first(count);
    return skip(count);
  }
  bool skip(uint64_t count) {
    if (count > rest_.size()) return false;
    rest_ = rest_.subspan(count);
    return true;
  }

 private:
  Bytes rest_;
};

}  // namespace agora::base
