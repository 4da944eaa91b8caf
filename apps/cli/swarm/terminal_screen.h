// One screen of text that is drawn over again in place; the terminal is as it was when it ends.
//
//   TerminalScreen screen(STDOUT_FILENO);
//   screen.show(swarm_screen(view, screen.columns(), screen.lines()));   // follows a terminal's new size
//   // the destructor, or end(): back to what was on the terminal before
//
// Lines that do not fit are left out at the end. One thread.
#pragma once

#include <string>
#include <string_view>

namespace agora::cli {

class TerminalScreen {
 public:
  explicit TerminalScreen(int file_descriptor);  // a terminal; see TerminalDevice::in_place
  ~TerminalScreen();
  TerminalScreen(const TerminalScreen&) = delete;
  TerminalScreen& operator=(const TerminalScreen&) = delete;

  int columns() const;
  int lines() const;
  void show(std::string_view text);
  void end();

 private:
  int file_descriptor_;
  bool on_ = true;
};

// The text as it goes to a terminal of so many lines: drawn over what was there, nothing scrolls.
std::string drawn_in_place(std::string_view text, int lines);

}  // namespace agora::cli
