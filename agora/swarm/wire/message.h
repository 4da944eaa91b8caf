// Bytes of our own messages: the size is known before the first byte is written, memory is asked for once.
//
//   MessageWriter out(12 + rows_bytes);   out.put<uint8_t>(kWireVersion);   out.pad_to(16);
//   fill(out.claim(rows_bytes));          Payload message = std::move(out).done();
//
// Everything is little endian. Every message opens with its version; docs/wire.md is the contract. One
// thread.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstring>
#include <memory>

#include "agora/base/bytes.h"
#include "agora/base/check.h"
#include "agora/base/result.h"
#include "agora/peers/transport/payload.h"

namespace agora::swarm {

constexpr uint8_t kWireVersion = 1;
constexpr uint8_t kTrunkWireVersion = 2;  // of trunks, and of what trainers tell each other

// What one mixture message may ask for, checked before anything is allocated.
constexpr int64_t kRowsMax = 1 << 16;
constexpr int64_t kWidthMax = 1 << 16;
constexpr int64_t kChoicesMax = 1 << 20;
constexpr int64_t kAnswerBytesMax = 64 << 20;  // exact mode gives a row for each choice, not for each token

// Where a block of rows may start, so that f32 rows can be read in place.
constexpr size_t kRowsAlignment = 16;

constexpr size_t padded(size_t bytes, size_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

class MessageWriter {
 public:
  explicit MessageWriter(size_t bytes)
      : bytes_(std::make_shared_for_overwrite<std::byte[]>(bytes)), size_(bytes) {}

  template <std::unsigned_integral T>
  void put(T value) {
    base::store_le(value, claim(sizeof value));
  }
  void put(float value) { put(std::bit_cast<uint32_t>(value)); }
  void put_bytes(base::Bytes bytes) { std::copy(bytes.begin(), bytes.end(), claim(bytes.size())); }
  void pad_to(size_t alignment) {
    const size_t count = padded(used_, alignment) - used_;
    std::fill_n(claim(count), count, std::byte{0});
  }
  // The next `count` bytes, for the caller to fill.
  std::byte* claim(size_t count) {
    AGORA_CHECK_LE(count, size_ - used_);
    used_ += count;
    return bytes_.get() + used_ - count;
  }

  peers::Payload done() && {
    AGORA_CHECK_EQ(used_, size_);
    const base::Bytes view(bytes_.get(), size_);
    return {std::move(bytes_), view};
  }

 private:
  std::shared_ptr<std::byte[]> bytes_;
  size_t size_;
  size_t used_ = 0;
};

// Reads the version; InvalidArgument naming `message` when it is another or there is none.
Status read_version(base::ByteReader& in, std::string_view message, uint8_t expected = kWireVersion);

// "MESSAGE: PROBLEM"
Status malformed(std::string_view message, std::string_view problem);

Status too_short(std::string_view message);

// Skips to the next multiple of kRowsAlignment, counted from the message's first byte.
Status skip_padding(base::ByteReader& in, base::Bytes whole, std::string_view message);
// InvalidArgument unless everything was read.
Status ends_here(const base::ByteReader& in, std::string_view message);

inline bool read_float(base::ByteReader& in, float* value) {
  uint32_t bits;
  if (!in.read_le(&bits)) return false;
  *value = std::bit_cast<float>(bits);
  return true;
}

template <class T, size_t n>
bool read_array(base::ByteReader& in, std::array<T, n>* to) {
  static_assert(sizeof(T) == 1);
  base::Bytes bytes;
  if (!in.take(n, &bytes)) return false;
  std::memcpy(to->data(), bytes.data(), n);
  return true;
}

}  // namespace agora::swarm
