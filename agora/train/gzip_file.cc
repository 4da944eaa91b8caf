#include "agora/train/gzip_file.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>

#include "agora/base/text.h"
#include <sys/stat.h>

namespace agora::train {

using base::concat;

namespace {

constexpr int64_t kStepBytes = 1 << 16;

Status unreadable(const std::string& path, int error) {
  return absl::InvalidArgumentError(
      concat("cannot read ", path, ": ", std::error_code(error, std::generic_category()).message()));
}

}  // namespace

StatusOr<FileStart> read_start(const std::string& path, int64_t bytes_max) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return unreadable(path, errno);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(concat("cannot read ", path, ": expected a regular file"));
  }
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(::gzopen(path.c_str(), "rb"), ::gzclose);
  if (file == nullptr) return unreadable(path, errno);

  FileStart start;
  while (static_cast<int64_t>(start.bytes.size()) <= bytes_max) {
    const size_t have = start.bytes.size();
    const int64_t step = std::min(kStepBytes, bytes_max + 1 - static_cast<int64_t>(have));
    start.bytes.resize(have + static_cast<size_t>(step));
    const int got = ::gzread(file.get(), start.bytes.data() + have, static_cast<unsigned>(step));
    int error = Z_OK;
    const std::string cause = ::gzerror(file.get(), &error);
    // A gzip file that ends too soon gives its bytes and reports the error after them.
    if (got < 0 || (error != Z_OK && error != Z_STREAM_END)) {
      return absl::DataLossError(
          concat("cannot read ", path, ": ", cause, "; the file is damaged or cut short"));
    }
    start.bytes.resize(have + static_cast<size_t>(got));
    if (got == 0) return start;
  }
  start.bytes.resize(static_cast<size_t>(bytes_max));
  start.more = true;
  return start;
}

}  // namespace agora::train
