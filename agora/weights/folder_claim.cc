#include "agora/weights/folder_claim.h"

#include <fcntl.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "agora/base/text.h"
#include "agora/weights/file_error.h"
#include <sys/file.h>
#include <sys/stat.h>

namespace agora::weights {
namespace {

namespace fs = std::filesystem;

Status taken(const std::string& path) {
  return absl::FailedPreconditionError(
      base::concat(path, ": another process is about to write there; wait for it, or name another folder"));
}

Status leads_nowhere(const std::string& path) {
  return absl::InvalidArgumentError(
      base::concat(path, ": it is a link to a place where nothing is; remove it, or name another folder"));
}

}  // namespace

FolderClaim::FolderClaim(std::string path, bool made)
    : path_(std::move(path)),
      made_(made),
      folder_(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {}

FolderClaim::~FolderClaim() {
  if (made_) ::rmdir(path_.c_str());  // refused unless it is empty
}

StatusOr<std::unique_ptr<FolderClaim>> FolderClaim::take(const std::string& dir) {
  std::string path = dir;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  std::error_code error;
  if (const fs::path parent = fs::path(path).parent_path(); !parent.empty()) {
    fs::create_directories(parent, error);
    if (error) return file_error("create folder", parent.string(), error.value());
  }
  const bool made = ::mkdir(path.c_str(), 0777) == 0;
  if (!made && errno != EEXIST) return file_error("create folder", path, errno);
  std::unique_ptr<FolderClaim> claim(new FolderClaim(std::move(path), made));
  const Status locked = claim->lock();
  if (locked.ok()) return claim;
  if (absl::IsFailedPrecondition(locked)) claim->made_ = false;  // it is another's now
  return locked;
}

Status FolderClaim::lock() const {
  if (!folder_.valid()) {
    if (errno != ENOENT) return file_error("open", path_, errno);
    std::error_code error;
    return fs::is_symlink(path_, error) ? leads_nowhere(path_) : taken(path_);
  }
  if (::flock(folder_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return taken(path_);
    return made_ ? absl::OkStatus()
                 : absl::UnimplementedError(path_ + ": its file system has no locks for folders");
  }
  // Who had it may have removed it, or put another in its place, just before it let it go.
  struct stat locked, named;
  const bool there = ::fstat(folder_.get(), &locked) == 0 && ::stat(path_.c_str(), &named) == 0;
  return there && locked.st_dev == named.st_dev && locked.st_ino == named.st_ino ? absl::OkStatus()
                                                                                 : taken(path_);
}

}  // namespace agora::weights
