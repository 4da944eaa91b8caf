#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agora/base/text.h"
#include "agora/weights/atomic_file.h"
#include "agora/weights/file_descriptor.h"
#include "agora/weights/file_error.h"
#include <sys/mman.h>
#include <sys/stat.h>

namespace agora::weights {

using base::concat;

namespace {

StatusOr<struct stat> stat_regular_file(const FileDescriptor& file, const std::string& path) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return file_error("read", path, errno);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(concat("cannot read ", path, ": expected a regular file, it is ",
                                             S_ISDIR(info.st_mode) ? "a folder" : "something else"));
  }
  return info;
}

}  // namespace

bool file_exists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0;
}

StatusOr<std::string> read_file(const std::string& path, int64_t bytes_max) {
  // Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid()) return file_error("open", path, errno);
  AGORA_ASSIGN_OR_RETURN(const struct stat info, stat_regular_file(file, path));
  const auto too_large = [&](int64_t size) {
    return absl::InvalidArgumentError(
        concat("cannot read ", path, ": it has ", size, " bytes or more, the limit is ", bytes_max));
  };
  if (info.st_size > bytes_max) return too_large(info.st_size);

  // Files under /proc claim size 0, and a file may grow while it is read: the end is where read() says it is.
  std::string content;
  for (size_t have = 0;;) {
    content.resize(std::max(have + 4096, static_cast<size_t>(info.st_size) + 1));
    const ssize_t got = ::read(file.get(), content.data() + have, content.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return file_error("read", path, errno);
    have += static_cast<size_t>(got);
    if (static_cast<int64_t>(have) > bytes_max) return too_large(static_cast<int64_t>(have));
    if (got == 0) {
      content.resize(have);
      return content;
    }
  }
}

StatusOr<std::unique_ptr<MappedFile>> MappedFile::open(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid()) return file_error("open", path, errno);
  AGORA_ASSIGN_OR_RETURN(const struct stat info, stat_regular_file(file, path));
  if (info.st_size == 0) return std::unique_ptr<MappedFile>(new MappedFile(path, {}));
  const auto size = static_cast<size_t>(info.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) return file_error("map", path, errno);
  return std::unique_ptr<MappedFile>(new MappedFile(path, Bytes(static_cast<const std::byte*>(data), size)));
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace agora::weights
