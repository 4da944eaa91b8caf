#include "apps/cli/terminal_table.h"

#include <cmath>
#include <sstream>

#include <gtest/gtest.h>

namespace agora::cli {
namespace {

TerminalTable wide_table() {
  TerminalTable table({{"domain"}, {"tokens", Align::right}, {"sample"}});
  table.add_row({"日本語", "-1,234,567", "a\x1b[2J\xff long text that goes on and on and on"});
  table.add_row({"c", "1"});
  return table;
}

TEST(TerminalTable, AlignsAndCutsTheWidestTextColumn) {
  EXPECT_EQ(wide_table().text(40),
            "domain      tokens  sample\n"
            "──────  ──────────  ────────────────────\n"
            "日本語  -1,234,567  a\\x1b[2J\\xff long t…\n"
            "c                1\n");
}

TEST(TerminalTable, NoLineIsWiderThanTheTerminal) {
  for (int columns = 13; columns < 90; ++columns) {
    std::istringstream lines(wide_table().text(columns));
    for (std::string line; std::getline(lines, line);) EXPECT_LE(display_width(line), columns) << line;
  }
}

TEST(TerminalTable, KeepsItsColumnsWhereTheTerminalIsTooNarrow) {
  EXPECT_EQ(TerminalTable({{"a"}, {"b"}}).text(1), "a  b\n─  ─\n");
}

TEST(WithThousands, PutsCommas) {
  EXPECT_EQ(with_thousands(0), "0");
  EXPECT_EQ(with_thousands(999), "999");
  EXPECT_EQ(with_thousands(1000), "1,000");
  EXPECT_EQ(with_thousands(-123456), "-123,456");
  EXPECT_EQ(with_thousands(INT64_MIN), "-9,223,372,036,854,775,808");
}

TEST(DurationText, SaysItAsPeopleDo) {
  EXPECT_EQ(duration_text(0.4), "0 s");
  EXPECT_EQ(duration_text(59.7), "1 min 00 s");
  EXPECT_EQ(duration_text(185), "3 min 05 s");
  EXPECT_EQ(duration_text(7620), "2 h 07 min");
  EXPECT_EQ(duration_text(357000), "4 d 03 h");
  EXPECT_EQ(duration_text(-1), "?");
  EXPECT_EQ(duration_text(std::nan("")), "?");
}

TEST(TerminalTable, WhatMayGoGoesBeforeAnythingIsCut) {
  TerminalTable table({{"name"}, {"first to go", Align::right, 2}, {"second", Align::right, 1}});
  table.add_row({"trainer 1", "1", "2"});
  EXPECT_EQ(table.text(40),
            "name       first to go  second\n─────────  ───────────  ──────\n"
            "trainer 1            1       2\n");
  EXPECT_EQ(table.text(20), "name       second\n─────────  ──────\ntrainer 1       2\n");
  EXPECT_EQ(table.text(10), "name\n─────────\ntrainer 1\n");
}

}  // namespace
}  // namespace agora::cli
