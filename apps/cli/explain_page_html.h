// The few pieces of HTML and SVG that the pages of agora explain and agora sim are made of. Output is
// well-formed XML as well as HTML 5.
//
//   page += "<td>" + escape(token) + "</td>";
//
// Any thread (pure functions).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agora/train/specialisation.h"

namespace agora::cli {

// Any bytes as text for an element or a quoted attribute: visible_text (terminal_text.h) with & < > " '
// escaped.
std::string escape(std::string_view bytes);

// How the cells of a heat map are filled.
enum class HeatScale : uint8_t {
  share,  // 0 .. maximum: empty to full colour, the percentage written in the cell
  lift,   // 1 / maximum .. 1 .. maximum on a log scale: one colour below 1, another above
};

struct HeatMap {
  std::string title;  // for those who do not see it
  std::vector<std::string> row_labels;
  std::vector<std::string> column_labels;
  train::Table values;  // [row_labels, column_labels]
  double maximum = 1;
  HeatScale scale = HeatScale::share;
  std::string value_name;  // in the hover text: "expert 3, python: 12.1 % of the gate weight"
  std::string row_name;    // "expert"
  std::string column_name;
};
std::string heat_map_svg(const HeatMap& map);

// A bar in a table cell, from 0 to value / maximum of the width; negative values point the other way from a
// middle line if `both_ways`. `mark` (same unit) draws a thin line, e.g. at the mean; negative: none.
std::string bar_svg(double value, double maximum, bool both_ways, double mark);

// For each layer the observed information as a dot over the band that chance fills.
std::string information_svg(const std::vector<train::MutualInformation>& layers);

// The first lines of a page's <head>: nothing is loaded from anywhere.
std::string page_head();

// The style sheet; of the panels .panel0 .. the one is shown whose radio button #tab0 .. is checked.
std::string page_style(int64_t tabs);

}  // namespace agora::cli
