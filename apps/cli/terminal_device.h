// What the output can do: how wide it is, whether a line can be rewritten in place, whether it shows colours.
//
//   const TerminalDevice out = inspect_terminal(STDOUT_FILENO);
//   print(table.text(out.columns));
//
// A value type; inspect_terminal reads the environment, so call it from main's thread.
#pragma once

namespace agora::cli {

constexpr int kColumnsDefault = 100;  // where nothing says otherwise: a pipe, a file
constexpr int kColumnsMin = 40;       // narrower than this, lines wrap rather than shrink
constexpr int kColumnsMax = 1000;     // what no screen reaches: COLUMNS may say anything

struct TerminalDevice {
  int columns = kColumnsDefault;
  bool in_place = false;  // a tty that understands a carriage return
  bool colour = false;    // 256 colours
};

// Width: COLUMNS where it is a number, else the tty's, else kColumnsDefault. Colour: a tty, TERM other than
// dumb, and NO_COLOR unset or empty (no-color.org); CLICOLOR_FORCE set and not 0 colours a pipe too.
TerminalDevice inspect_terminal(int file_descriptor);

}  // namespace agora::cli
