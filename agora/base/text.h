// Putting messages together, and showing foreign names in them.
//
//   absl::InvalidArgumentError(concat(file, ": tensor ", in_quotes(name), " has shape ", listed(shape)));
//   return about(file, status);
//
// In place of absl::StrCat, which does not take std::string_view where absl was built for older C++ (Debian's
// is). Any thread.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <type_traits>

#include "absl/strings/escaping.h"
#include "agora/base/result.h"

namespace agora::base {

template <class... Parts>
std::string concat(const Parts&... parts) {
  std::string text;
  const auto append = [&text](const auto& part) {
    using Part = std::decay_t<decltype(part)>;
    if constexpr (std::is_same_v<Part, char>) {
      text += part;
    } else if constexpr (std::is_floating_point_v<Part>) {
      char digits[32];
      text.append(digits,
                  static_cast<size_t>(std::snprintf(digits, sizeof digits, "%g", static_cast<double>(part))));
    } else if constexpr (std::is_integral_v<Part>) {
      text += std::to_string(part);
    } else if constexpr (std::is_class_v<Part>) {
      text.append(part.data(), part.size());  // any kind of string or string_view
    } else {
      text += part;  // const char*
    }
  };
  (append(parts), ...);
  return text;
}

// "name" with everything unprintable escaped and a long end cut off: what comes from foreign files goes to
// terminals.
inline std::string in_quotes(std::string_view name) {
  constexpr size_t kShown = 200;
  const std::string_view shown = name.substr(0, kShown);
  const std::string escaped = absl::Utf8SafeCEscape(absl::string_view(shown.data(), shown.size()));
  return concat('"', escaped, name.size() > kShown ? "...\"" : "\"");
}

// [2, 3, 4]
template <class List>
std::string listed(const List& list) {
  std::string text = "[";
  for (const auto& item : list) text += concat(text.size() > 1 ? ", " : "", item);
  return text + "]";
}

// The same error, its message begun with what it is about: "--listen: ...".
inline Status about(std::string_view what, const Status& error) {
  return Status(error.code(), concat(what, ": ", error.message()));
}

}  // namespace agora::base
