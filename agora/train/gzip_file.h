// The first bytes of a file, unpacked if it is gzip.
//
//   AGORA_ASSIGN_OR_RETURN(FileStart start, read_start("changelog.gz", 200'000));
//   if (start.more) ...                      // the file goes on after these bytes
//
// Never holds more than asked for, however much the file claims or unpacks to. Any thread.
#pragma once

#include <cstdint>
#include <string>

#include "agora/base/result.h"

namespace agora::train {

struct FileStart {
  std::string bytes;
  bool more = false;
};

// Only regular files (a pipe or device is refused); errors name the file.
StatusOr<FileStart> read_start(const std::string& path, int64_t bytes_max);

}  // namespace agora::train
