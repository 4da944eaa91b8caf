// What another peer said, as it may be shown: in a log, or on a terminal.
//
//   Status(code, printable(text))
//
// Any thread.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "agora/base/utf8.h"

namespace agora::peers {

// Control characters, of ASCII and of Unicode (U+0080 to U+009F begin escape sequences too), and what is not
// UTF-8 become \x and their bytes in hexadecimal. All else stays.
inline std::string printable(std::string_view text) {
  std::string shown;
  for (size_t at = 0; at < text.size();) {
    const base::Utf8Char next = base::utf8_at(text, at);
    const auto bytes = static_cast<size_t>(next.bytes == 0 ? 1 : next.bytes);
    const bool plain = next.bytes != 0 && next.code >= 0x20 && (next.code < 0x7f || next.code > 0x9f);
    for (const char c : text.substr(at, bytes)) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned char>(c));
      shown += plain ? std::string(1, c) : escaped;
    }
    at += bytes;
  }
  return shown;
}

}  // namespace agora::peers
