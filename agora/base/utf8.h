// UTF-8 one character at a time, in text that may be anything.
//
//   const Utf8Char c = utf8_at(text, i);
//   if (c.bytes == 0) ...            // text[i] starts no valid character
//
// Strict: no overlong forms, no surrogates, nothing above U+10FFFF. Any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace agora::base {

struct Utf8Char {
  uint32_t code = 0;
  int bytes = 0;            // 1 to 4; 0: not valid
  bool incomplete = false;  // not valid only because the text ends too soon
};

inline Utf8Char utf8_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[at + i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return {first, 1};
  if (first < 0xc2 || first > 0xf4) return {};
  const int bytes = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  uint32_t code = first & (0x7fu >> bytes);
  for (int i = 1; i < bytes; ++i) {
    if (at + static_cast<size_t>(i) >= text.size()) return {0, 0, true};
    const uint8_t next = byte(static_cast<size_t>(i));
    // The second byte alone decides whether the form is overlong, a surrogate or too large.
    const uint8_t low = i > 1 ? 0x80 : first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    const uint8_t high = i > 1 ? 0xbf : first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (next < low || next > high) return {};
    code = code << 6 | (next & 0x3fu);
  }
  return {code, bytes};
}

inline bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const int bytes = utf8_at(text, at).bytes;
    if (bytes == 0) return false;
    at += static_cast<size_t>(bytes);
  }
  return true;
}

}  // namespace agora::base
