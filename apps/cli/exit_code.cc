#include "apps/cli/exit_code.h"

#include <cstdio>
#include <string>

#include "absl/strings/str_split.h"

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

}  // namespace agora::cli
