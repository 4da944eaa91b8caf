// How text stands on a terminal: what can be shown of any bytes, how many columns it takes, cut and padded to
// a width.
//
//   std::string safe = visible_text(token);           // an escape becomes ␛, a stray byte \xff in letters
//   std::string cell = fit(safe, 12, Align::left);    // exactly 12 columns, cut with … where longer
//
// Any thread (pure functions).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace agora::cli {

enum class Align : uint8_t { left, right };

// Reads the character at `position` and moves past it. nullopt: the byte there starts no valid character (RFC
// 3629: no surrogates, no overlong forms, at most U+10FFFF); position moves by one byte. position <
// text.size().
std::optional<char32_t> next_character(std::string_view text, size_t& position);

// Text that is safe to show: valid UTF-8 with nothing that steers a terminal or reorders a line. A line feed
// becomes ↵, a tab ⇥, other control characters and bytes that are no UTF-8 \xNN, invisible characters and
// those that turn the direction of writing \u{NNNN}.
std::string visible_text(std::string_view bytes);

// The same of text that runs over lines: line feeds, tabs and invisible characters, which some scripts need,
// stay, a carriage return before a line feed is left out; control characters and stray bytes are shown.
std::string visible_lines(std::string_view bytes);

// The same of text that comes in pieces of whole characters. One thread at a time.
class VisibleLines {
 public:
  std::string take(std::string_view piece);  // a carriage return at its end waits for what comes next

 private:
  bool return_waits_ = false;
};

// Terminal columns: wide East Asian characters and emoji count 2, combining marks 0. Expects visible text, no
// colours.
int display_width(std::string_view text);

// Exactly `columns` wide: padded with spaces, or cut with … at the end. columns <= 0 gives nothing.
std::string fit(std::string_view text, int columns, Align align);

// At most `columns` wide.
std::string cut(std::string_view text, int columns);

}  // namespace agora::cli
