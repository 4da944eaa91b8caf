#include "apps/cli/terminal_device.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>

namespace agora::cli {
namespace {

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

int columns_of(int file_descriptor) {
  int columns = 0;
  const std::string_view asked = environment("COLUMNS");
  const auto [end, error] = std::from_chars(asked.data(), asked.data() + asked.size(), columns);
  if (error == std::errc() && end == asked.data() + asked.size() && columns > 0) return columns;
  winsize size{};
  if (ioctl(file_descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return kColumnsDefault;
}

}  // namespace

TerminalDevice inspect_terminal(int file_descriptor) {
  const std::string_view forced = environment("CLICOLOR_FORCE");
  const bool capable = isatty(file_descriptor) == 1 && environment("TERM") != "dumb";
  TerminalDevice device;
  device.columns = std::clamp(columns_of(file_descriptor), kColumnsMin, kColumnsMax);
  device.in_place = capable;
  device.colour = environment("NO_COLOR").empty() && (capable || (!forced.empty() && forced != "0"));
  return device;
}

}  // namespace agora::cli
