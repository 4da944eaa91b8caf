// Expected failures as values: Status and StatusOr (absl's), and the two macros that pass them up.
//
//   StatusOr<Config> config = read_config(path);
//   AGORA_ASSIGN_OR_RETURN(Config config, read_config(path));
//   AGORA_RETURN_IF_ERROR(write(path, bytes));
//
// Codes are few and named by the caller's next move: kInvalidArgument (fix the input), kUnavailable (retry
// elsewhere), kResourceExhausted (back off, or free room), kDataLoss (the bytes are not what was written),
// kFailedPrecondition, kInternal (give up). A message says what was expected, what came and what to do.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace agora {

using absl::Status;
using absl::StatusOr;

}  // namespace agora

#define AGORA_RETURN_IF_ERROR(expression)          \
  do {                                             \
    ::agora::Status agora_status_ = (expression);  \
    if (!agora_status_.ok()) return agora_status_; \
  } while (false)

#define AGORA_RESULT_CONCAT_INNER_(a, b) a##b
#define AGORA_RESULT_CONCAT_(a, b) AGORA_RESULT_CONCAT_INNER_(a, b)
#define AGORA_ASSIGN_OR_RETURN_IMPL_(temporary, target, expression) \
  auto temporary = (expression);                                    \
  if (!temporary.ok()) return std::move(temporary).status();        \
  target = *std::move(temporary)
#define AGORA_ASSIGN_OR_RETURN(target, expression) \
  AGORA_ASSIGN_OR_RETURN_IMPL_(AGORA_RESULT_CONCAT_(agora_or_, __LINE__), target, expression)
