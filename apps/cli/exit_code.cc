#include "apps/cli/exit_code.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <string>

#include "absl/strings/str_split.h"
#include <sys/stat.h>

#include "apps/cli/terminal_text.h"

namespace agora::cli {

std::string message_for_people(const Status& status) {
  std::string text;
  for (const absl::string_view line : absl::StrSplit(status.message(), '\n')) {
    if (!text.empty()) text += '\n';
    text += visible_text({line.data(), line.size()});
  }
  return text;
}

int report(const Status& status) {
  if (status.ok()) return kExitDone;
  std::fprintf(stderr, "agora: %s\n", message_for_people(status).c_str());
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kResourceExhausted:  // a full disk
      return kExitBadInput;
    default:
      return kExitFailed;
  }
}

int exit_code_after_output(int exit_code) {
  const bool written = std::cout.flush().good() && std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  struct stat output {};
  const bool known = ::fstat(STDOUT_FILENO, &output) == 0;
  if (written || (known && (S_ISFIFO(output.st_mode) || S_ISSOCK(output.st_mode)))) return exit_code;
  std::fputs("agora: standard output could not be written to its end: is its disk full?\n", stderr);
  return exit_code == kExitDone ? kExitBadInput : exit_code;
}

}  // namespace agora::cli
