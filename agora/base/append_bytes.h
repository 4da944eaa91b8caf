// Messages put together at the end of a vector: the mirror of ByteReader.
//
//   std::vector<std::byte> to;   append_le(uint16_t{7}, to);   append_bytes(as_bytes("text"), to);
//
// Little endian on any machine. One thread at a time.
#pragma once

#include <concepts>
#include <cstddef>
#include <vector>

#include "agora/base/bytes.h"

namespace agora::base {

template <std::unsigned_integral T>
void append_le(T value, std::vector<std::byte>& to) {
  to.resize(to.size() + sizeof value);
  store_le(value, to.data() + to.size() - sizeof value);
}

inline void append_bytes(Bytes bytes, std::vector<std::byte>& to) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

}  // namespace agora::base
