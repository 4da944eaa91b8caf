#include "apps/cli/terminal_heat_map.h"

#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "apps/cli/terminal_text.h"

namespace agora::cli {
namespace {

TerminalHeatMap small_map() {
  TerminalHeatMap map{.row_title = "expert",
                      .row_labels = {"3", "12"},
                      .column_labels = {"python", "日本語"},
                      .values = train::Table(2, 2),
                      .maximum = 0.5};
  map.values.cells = {0.5, 0.25, 0.0, std::nan("")};
  return map;
}

TEST(HeatMapText, FallsBackToDigits) {
  EXPECT_EQ(heat_map_text(small_map(), {.columns = 80}),
            "expert python 日本語\n"
            "     3      9      5\n"
            "    12      0      0\n");
}

TEST(HeatMapText, ColoursCellsAndWritesPercentages) {
  const std::string text = heat_map_text(small_map(), {.columns = 80, .in_place = true, .colour = true});
  EXPECT_NE(text.find("\x1b[48;5;159;38;5;16m    50 \x1b[0m"), std::string::npos) << text;
  EXPECT_NE(text.find("\x1b[48;5;234;38;5;245m       \x1b[0m"), std::string::npos) << text;
}

TEST(HeatMapText, ColumnsThatDoNotFitFollowBelow) {
  TerminalHeatMap map{
      .row_title = "", .row_labels = {"0"}, .column_labels = {}, .values = train::Table(1, 30)};
  for (int c = 0; c < 30; ++c) map.column_labels.push_back("domain " + std::to_string(c));
  const std::string text = heat_map_text(map, {.columns = 40});
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(display_width(line), 40) << line;
  for (const std::string& label : map.column_labels) EXPECT_NE(text.find(label), std::string::npos) << label;
}

TEST(OnColour, LeavesTextAloneWithoutColour) {
  EXPECT_EQ(on_colour("x", 5, {}), "x");
  EXPECT_EQ(bold("x", {}), "x");
  const TerminalDevice colour{.columns = 80, .in_place = true, .colour = true};
  EXPECT_EQ(on_colour("x", 3, colour), on_colour("x", 19, colour));
  EXPECT_NE(on_colour("x", 3, colour), on_colour("x", 4, colour));
}

}  // namespace
}  // namespace agora::cli
