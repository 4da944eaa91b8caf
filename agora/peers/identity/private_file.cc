#include "agora/peers/identity/private_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "agora/base/text.h"
#include <sys/stat.h>

namespace agora::peers {
namespace {

Status file_error(const std::string& path, const char* what) {
  return absl::UnavailableError(base::concat(path, ": ", what, ": ", std::strerror(errno)));
}

bool write_all(int fd, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) done += static_cast<size_t>(n);
  }
  return ::fsync(fd) == 0;
}

StatusOr<std::string> read_checked(int fd, const std::string& path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return file_error(path, "can not be read");
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(base::concat(path, ": expected a file"));
  if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return absl::PermissionDeniedError(base::concat(
        path, ": others may read this key; run chmod 600 on it, or remove it and make a new one"));
  }
  std::string text(kPrivateFileBytesMax + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t n = ::read(fd, text.data() + size, text.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return file_error(path, "can not be read");
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  if (size > kPrivateFileBytesMax) {
    return absl::InvalidArgumentError(
        base::concat(path, ": expected a key, but the file is larger than ", kPrivateFileBytesMax, " bytes"));
  }
  text.resize(size);
  return text;
}

}  // namespace

Status write_private_file(const std::string& path, const std::string& text) {
  std::string temporary = path + ".XXXXXX";
  const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);  // mode 0600
  if (fd < 0) return file_error(path, "can not be written");
  const bool written = write_all(fd, text);
  const int write_errno = errno;
  ::close(fd);
  // link() is the one way to give a file a name only if nobody has it: two processes that start at once
  // agree.
  const bool linked = written && ::link(temporary.c_str(), path.c_str()) == 0;
  const int link_errno = written ? errno : write_errno;
  ::unlink(temporary.c_str());
  if (linked) return absl::OkStatus();
  errno = link_errno;
  if (written && errno == EEXIST) return absl::AlreadyExistsError(base::concat(path, ": exists already"));
  return file_error(path, "can not be written");
}

StatusOr<std::string> read_private_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 && errno == ENOENT) return absl::NotFoundError(base::concat(path, ": no such file"));
  if (fd < 0 && errno == EACCES) {
    return absl::PermissionDeniedError(
        base::concat(path, ": belongs to somebody else; name a file of your own"));
  }
  if (fd < 0) return file_error(path, "can not be read");
  StatusOr<std::string> text = read_checked(fd, path);
  ::close(fd);
  return text;
}

}  // namespace agora::peers
