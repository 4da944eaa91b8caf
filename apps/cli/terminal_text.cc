#include "apps/cli/terminal_text.h"

#include <algorithm>
#include <span>

#include "absl/strings/str_format.h"
#include "agora/base/utf8.h"

namespace agora::cli {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

// The blocks that Unicode's EastAsianWidth.txt marks W or F, and the emoji blocks, at block granularity.
constexpr Range kWide[] = {
    {0x1100, 0x115f},   {0x231a, 0x231b},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},
    {0xa960, 0xa97c},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},
    {0xff01, 0xff60},   {0xffe0, 0xffe6},   {0x16fe0, 0x18aff}, {0x1b000, 0x1b2ff},
    {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1faff}, {0x20000, 0x3fffd},
};

// The blocks of combining marks and variation selectors.
constexpr Range kCombining[] = {
    {0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x0610, 0x061a}, {0x064b, 0x065f},
    {0x06d6, 0x06dc}, {0x0e34, 0x0e3a}, {0x0e47, 0x0e4e}, {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff},
    {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f},
};

// Zero-width and bidirectional controls, line separators, the byte order mark, private use, tags.
constexpr Range kInvisible[] = {
    {0x00ad, 0x00ad}, {0x061c, 0x061c},   {0x180e, 0x180e},    {0x200b, 0x200f},
    {0x2028, 0x202e}, {0x2060, 0x206f},   {0xe000, 0xf8ff},    {0xfeff, 0xfeff},
    {0xfff0, 0xfffb}, {0xe0000, 0xe0fff}, {0xf0000, 0x10ffff},
};

bool within(std::span<const Range> ranges, char32_t c) {
  return std::ranges::any_of(ranges, [c](Range range) { return c >= range.first && c <= range.last; });
}

int width_of(char32_t c) {
  if (c < 0x300) return 1;
  if (within(kCombining, c)) return 0;
  return within(kWide, c) ? 2 : 1;
}

// c: what `bytes`, one of no character or those of one, stand for.
void append_without_controls(std::string& out, std::optional<char32_t> c, std::string_view bytes) {
  if (!c || *c < 0x20 || *c == 0x7f) {
    absl::StrAppendFormat(&out, "\\x%02x", static_cast<unsigned char>(bytes[0]));
  } else if (*c >= 0x80 && *c < 0xa0) {
    absl::StrAppendFormat(&out, "\\u{%x}", static_cast<uint32_t>(*c));
  } else {
    out += bytes;
  }
}

}  // namespace

std::optional<char32_t> next_character(std::string_view text, size_t& position) {
  const base::Utf8Char c = base::utf8_at(text, position);
  position += static_cast<size_t>(std::max(c.bytes, 1));
  if (c.bytes == 0) return std::nullopt;
  return c.code;
}

std::string visible_text(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (size_t position = 0; position < bytes.size();) {
    const size_t start = position;
    const std::optional<char32_t> c = next_character(bytes, position);
    if (c == U'\n') {
      out += "↵";
    } else if (c == U'\t') {
      out += "⇥";
    } else if (c && within(kInvisible, *c)) {
      absl::StrAppendFormat(&out, "\\u{%x}", static_cast<uint32_t>(*c));
    } else {
      append_without_controls(out, c, bytes.substr(start, position - start));
    }
  }
  return out;
}

std::string visible_lines(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (size_t position = 0; position < bytes.size();) {
    const size_t start = position;
    const std::optional<char32_t> c = next_character(bytes, position);
    if (c == U'\n' || c == U'\t') {
      out += bytes[start];
    } else if (!bytes.substr(start).starts_with("\r\n")) {
      append_without_controls(out, c, bytes.substr(start, position - start));
    }
  }
  return out;
}

std::string VisibleLines::take(std::string_view piece) {
  std::string bytes = return_waits_ ? "\r" : "";
  bytes += piece;
  return_waits_ = bytes.ends_with('\r');
  if (return_waits_) bytes.pop_back();
  return visible_lines(bytes);
}

int display_width(std::string_view text) {
  int width = 0;
  for (size_t position = 0; position < text.size();) {
    const std::optional<char32_t> c = next_character(text, position);
    width += c ? width_of(*c) : 1;
  }
  return width;
}

std::string cut(std::string_view text, int columns) {
  if (columns <= 0) return "";
  if (display_width(text) <= columns) return std::string(text);
  int width = 0;
  size_t end = 0;
  for (size_t position = 0; position < text.size();) {
    const std::optional<char32_t> c = next_character(text, position);
    width += c ? width_of(*c) : 1;
    if (width > columns - 1) break;
    end = position;
  }
  return std::string(text.substr(0, end)) + "…";
}

std::string fit(std::string_view text, int columns, Align align) {
  std::string out = cut(text, columns);
  const int missing = columns - display_width(out);
  if (missing <= 0) return out;
  return align == Align::left ? out + std::string(missing, ' ') : std::string(missing, ' ') + out;
}

}  // namespace agora::cli
