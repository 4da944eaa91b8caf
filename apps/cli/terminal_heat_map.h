// A table of shares as a picture on the terminal: coloured cells with the number in them, digits where there
// is no colour.
//
//   std::cout << heat_map_text({.row_title = "expert", .row_labels = ..., .column_labels = domains, .values =
//   share,
//                               .maximum = 0.4}, device);
//
//   expert   python    perl   docs
//        3       40       7      1       a percentage on a colour, or 0-9 for 0 .. maximum without colours
//
// Any thread (pure functions).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agora/train/specialisation.h"
#include "apps/cli/terminal_device.h"

namespace agora::cli {

struct TerminalHeatMap {
  std::string row_title;
  std::vector<std::string> row_labels;
  std::vector<std::string> column_labels;
  train::Table values;  // [row_labels, column_labels], each 0 .. 1
  double maximum = 1;   // what the strongest colour or the digit 9 stands for
};

// The map, with a line of labels above; columns that do not fit the width follow below, under labels of their
// own.
std::string heat_map_text(const TerminalHeatMap& map, const TerminalDevice& device);

// The colours, or digits, from 0 to maximum.
std::string heat_legend(double maximum, const TerminalDevice& device);

// Text on one of 16 colours that terminals show alike, by number: `number` and `number + 16` share one.
// Without colour: the text. `text` is shown as it is; visible_text it first.
std::string on_colour(std::string_view text, int64_t number, const TerminalDevice& device);

// Bold, or as it is.
std::string bold(std::string_view text, const TerminalDevice& device);

}  // namespace agora::cli
