#include "agora/weights/file_error.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "agora/base/text.h"
#include "agora/weights/file_descriptor.h"

namespace agora::weights {

using base::concat;

Status file_error(std::string_view action, const std::string& path, int error) {
  const std::string cause = std::error_code(error, std::generic_category()).message();
  const std::string message = concat("cannot ", action, " ", path, ": ", cause);
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::ResourceExhaustedError(concat(message, "; make room and try again"));
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return absl::ResourceExhaustedError(message);
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
    case ENAMETOOLONG:
    case EINVAL:
      return absl::InvalidArgumentError(message);
    default:
      return absl::InternalError(message);
  }
}

std::string own_name(const std::string& path) {
  static std::atomic<uint64_t> count{0};
  return concat(path, ".", ::getpid(), ".", count.fetch_add(1));
}

Status sync_folder_of(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const std::string folder = parent.empty() ? "." : parent.string();
  const FileDescriptor file(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!file.valid()) return file_error("open", folder, errno);
  // Some file systems can not sync a folder and say EINVAL; there is nothing more to do for them.
  if (::fsync(file.get()) != 0 && errno != EINVAL) return file_error("sync", folder, errno);
  return absl::OkStatus();
}

}  // namespace agora::weights
