#include "apps/cli/exit_code.h"

#include <cstdio>
#include <string>

namespace agora::cli {

int report(const Status& status) {
  if (status.ok()) return kExitDone;
  std::fprintf(stderr, "agora: %s\n", std::string(status.message()).c_str());
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
