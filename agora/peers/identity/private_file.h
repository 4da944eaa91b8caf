// Small files that only their owner may read: keys.
//
//   AGORA_RETURN_IF_ERROR(write_private_file(path, pem));               // appears whole, mode 0600
//   AGORA_ASSIGN_OR_RETURN(std::string pem, read_private_file(path));
//
// Any thread.
#pragma once

#include <string>

#include "agora/base/result.h"

namespace agora::peers {

constexpr size_t kPrivateFileBytesMax = 16384;  // a key is far smaller

// Never replaces a file: AlreadyExists. On any other error (Unavailable, naming the file) nothing is left
// behind.
Status write_private_file(const std::string& path, const std::string& text);

// NotFound; PermissionDenied: group or others may read it; InvalidArgument: not a file, or too large.
StatusOr<std::string> read_private_file(const std::string& path);

}  // namespace agora::peers
