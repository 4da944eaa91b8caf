#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "agora/base/check.h"
#include "agora/base/text.h"
#include "agora/weights/atomic_file.h"
#include "agora/weights/file_error.h"
#include <sys/stat.h>

namespace agora::weights {
namespace {

namespace fs = std::filesystem;

// "runs/7/" names the same folder as "runs/7", but "runs/7/.tmp" would lie inside it; and a rename meets a
// link itself, not the folder that it leads to.
std::string plain_path(std::string path) {
  std::error_code missing;
  const fs::path found = fs::canonical(path, missing);
  if (!missing) return found.string();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

Status check_replaceable(const std::string& target, const std::string& mark) {
  if (is_free(target) || file_exists(target + mark)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      base::concat(target, ": expected nothing there, an empty folder, or one with ", mark.substr(1),
                   " in it; found something else, which would be lost: name another folder"));
}

}  // namespace

bool is_free(const std::string& dir) {
  std::error_code error;
  const fs::file_status found = fs::status(dir, error);
  if (found.type() == fs::file_type::not_found) return true;
  return fs::is_directory(found) && fs::is_empty(dir, error) && !error;
}

StatusOr<std::unique_ptr<AtomicFolder>> AtomicFolder::create(const std::string& target,
                                                             const std::string& mark) {
  AGORA_RETURN_IF_ERROR(check_replaceable(target, mark));
  std::string path = plain_path(target);
  std::string temporary = path + ".tmp";
  std::error_code error;
  fs::remove_all(temporary, error);
  if (error) return file_error("remove", temporary, error.value());
  fs::create_directories(temporary, error);
  if (error) return file_error("create folder", temporary, error.value());
  return std::unique_ptr<AtomicFolder>(new AtomicFolder(std::move(path), mark, std::move(temporary)));
}

AtomicFolder::AtomicFolder(std::string target, std::string mark, std::string temporary)
    : target_(std::move(target)), mark_(std::move(mark)), temporary_(std::move(temporary)) {}

// Removes what was not committed, or after an exchange the old folder.
AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);
}

Status AtomicFolder::commit() {
  AGORA_CHECK(!committed_);
  committed_ = true;
  AGORA_RETURN_IF_ERROR(check_replaceable(target_, mark_));
  AGORA_RETURN_IF_ERROR(sync_folder_of(temporary_ + "/."));
  if (::rename(temporary_.c_str(), target_.c_str()) == 0) return sync_folder_of(target_);
  if (errno != ENOTEMPTY && errno != EEXIST) return file_error("replace", target_, errno);

  if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) == 0) {
    return sync_folder_of(target_);
  }
  // A file system without exchange: for a moment only TARGET.old.tmp holds the old folder.
  const std::string old = target_ + ".old.tmp";
  std::error_code ignored;
  fs::remove_all(old, ignored);
  if (::rename(target_.c_str(), old.c_str()) != 0) return file_error("replace", target_, errno);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
    const int error = errno;
    ::rename(old.c_str(), target_.c_str());
    return file_error("replace", target_, error);
  }
  AGORA_RETURN_IF_ERROR(sync_folder_of(target_));
  fs::remove_all(old, ignored);
  return absl::OkStatus();
}

}  // namespace agora::weights
