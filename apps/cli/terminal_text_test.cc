#include "apps/cli/terminal_text.h"

#include "agora/base/utf8.h"
#include <gtest/gtest.h>

namespace agora::cli {
namespace {

TEST(VisibleText, LeavesNothingThatSteersATerminal) {
  EXPECT_EQ(visible_text("plain é 日本"), "plain é 日本");
  EXPECT_EQ(visible_text("\x1b[2J\n\t\x7f"), "\\x1b[2J↵⇥\\x7f");
  EXPECT_EQ(visible_text(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(visible_text("\xc2\x9b"), "\\u{9b}");             // the one-character escape sequence introducer
  EXPECT_EQ(visible_text("\xe2\x80\xae"), "\\u{202e}");       // right-to-left override
  EXPECT_EQ(visible_text("\xf3\xa0\x80\x81"), "\\u{e0001}");  // an invisible tag
}

TEST(VisibleText, WritesBytesThatAreNoUtf8AsHex) {
  EXPECT_EQ(visible_text("a\xff"
                         "b"),
            "a\\xff"
            "b");
  EXPECT_EQ(visible_text("\xe6\x97"), "\\xe6\\x97");                    // cut short
  EXPECT_EQ(visible_text("\xc0\xaf"), "\\xc0\\xaf");                    // overlong
  EXPECT_EQ(visible_text("\xe0\x80\xaf"), "\\xe0\\x80\\xaf");           // overlong
  EXPECT_EQ(visible_text("\xed\xa0\x80"), "\\xed\\xa0\\x80");           // a surrogate
  EXPECT_EQ(visible_text("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // beyond U+10FFFF
}

TEST(VisibleText, EveryByteComesOutAsUtf8) {
  std::string all;
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) all += {static_cast<char>(a), static_cast<char>(b), '\x80'};
  }
  EXPECT_FALSE(base::is_utf8(all));
  EXPECT_TRUE(base::is_utf8(visible_text(all)));
}

TEST(VisibleText, OverLinesKeepsThemAndWhatScriptsNeed) {
  EXPECT_EQ(visible_lines("one\n\ttwo é 日本"), "one\n\ttwo é 日本");
  EXPECT_EQ(visible_lines("\xe2\x80\x8c"), "\xe2\x80\x8c");  // Persian's zero-width non-joiner
  EXPECT_EQ(visible_lines("\x1b[2J\r\x7f\xff\xc2\x9b"), "\\x1b[2J\\x0d\\x7f\\xff\\u{9b}");
}

TEST(VisibleText, OverLinesShowsNoEndsOfDosLines) {
  EXPECT_EQ(visible_lines("one\r\ntwo\r\n"), "one\ntwo\n");
  EXPECT_EQ(visible_lines("one\r\r\n\rtwo\r"), "one\\x0d\n\\x0dtwo\\x0d");
}

TEST(VisibleText, InPiecesIsAsTheWhole) {
  const std::string text = "one\r\ntwo\rthree\r\r\n";
  VisibleLines lines;
  std::string shown;
  for (const char c : text) shown += lines.take({&c, 1});
  EXPECT_EQ(shown, visible_lines(text));
}

TEST(DisplayWidth, CountsColumnsNotBytes) {
  EXPECT_EQ(display_width(""), 0);
  EXPECT_EQ(display_width("naïve"), 5);
  EXPECT_EQ(display_width("日本語"), 6);
  EXPECT_EQ(display_width("e\xcc\x81"), 1);  // e and a combining acute accent
  EXPECT_EQ(display_width("🙂"), 2);
  EXPECT_EQ(display_width("│…█"), 3);
}

TEST(Fit, IsExactlyAsWideAsAsked) {
  for (const char* text : {"", "a", "naïve", "日本語", "a日本語b", "🙂🙂🙂", "a rather long text"}) {
    for (int columns = 0; columns < 24; ++columns) {
      EXPECT_EQ(display_width(fit(text, columns, Align::left)), columns) << text;
      EXPECT_EQ(display_width(fit(text, columns, Align::right)), columns) << text;
    }
  }
  EXPECT_EQ(fit("日本語", 4, Align::left), "日… ");
  EXPECT_EQ(fit("7", 3, Align::right), "  7");
}

}  // namespace
}  // namespace agora::cli
