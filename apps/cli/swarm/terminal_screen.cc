#include "apps/cli/swarm/terminal_screen.h"

#include <unistd.h>

#include <sys/ioctl.h>

#include "apps/cli/terminal_device.h"

namespace agora::cli {
namespace {

constexpr char kBegin[] = "\x1b[?1049h\x1b[?25l\x1b[2J";  // another screen, no cursor, cleared
constexpr char kEnd[] = "\x1b[?25h\x1b[?1049l";
constexpr char kHome[] = "\x1b[H";
constexpr char kClearLine[] = "\x1b[K";
constexpr char kClearBelow[] = "\x1b[J";
constexpr int kLinesDefault = 40;

// A terminal that is gone takes nothing: there is nobody to tell.
void put(int file_descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = write(file_descriptor, text.data(), text.size());
    if (count <= 0) return;
    text.remove_prefix(static_cast<size_t>(count));
  }
}

int lines_of(int file_descriptor) {
  winsize size{};
  return ioctl(file_descriptor, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : kLinesDefault;
}

}  // namespace

std::string drawn_in_place(std::string_view text, int lines) {
  std::string drawn = kHome;
  while (!text.empty() && lines-- > 0) {
    const size_t end = text.find('\n');
    drawn += text.substr(0, end);
    drawn += kClearLine;
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!text.empty() && lines > 0) drawn += "\r\n";
  }
  return drawn + kClearBelow;
}

TerminalScreen::TerminalScreen(int file_descriptor) : file_descriptor_(file_descriptor) {
  put(file_descriptor_, kBegin);
}

TerminalScreen::~TerminalScreen() { end(); }

int TerminalScreen::columns() const { return inspect_terminal(file_descriptor_).columns; }

int TerminalScreen::lines() const { return lines_of(file_descriptor_); }

void TerminalScreen::show(std::string_view text) {
  if (on_) put(file_descriptor_, drawn_in_place(text, lines()));
}

void TerminalScreen::end() {
  if (on_) put(file_descriptor_, kEnd);
  on_ = false;
}

}  // namespace agora::cli
