#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <vector>

#include "agora/base/check.h"
#include "agora/base/text.h"
#include "agora/weights/atomic_file.h"
#include "agora/weights/file_error.h"
#include <sys/stat.h>

namespace agora::weights {
namespace {

namespace fs = std::filesystem;

// What is written beside TARGET is named TARGET.agora.PID.N with one of these: what users keep there is not.
constexpr char kOurs[] = ".agora";
constexpr char kTemporary[] = ".tmp";
constexpr char kOld[] = ".old";  // was TARGET; until it is written anew this is all there is of it

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

// What processes left beside the target that ended while they wrote it: nobody claims it any more.
void remove_left_by_the_dead(const fs::path& target, std::string_view suffix) {
  const std::string prefix = target.filename().string() + kOurs + ".";
  const fs::path parent = target.has_parent_path() ? target.parent_path() : fs::path(".");
  std::error_code ignored;
  std::vector<std::string> left;
  for (const fs::directory_entry& entry : fs::directory_iterator(parent, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix) && name.ends_with(suffix)) left.push_back(entry.path().string());
  }
  for (const std::string& folder : left) {
    const auto claim = FolderClaim::take(folder);
    if (claim.ok()) fs::remove_all(folder, ignored);
  }
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
  remove_left_by_the_dead(path, kTemporary);
  if (file_exists(path + mark)) remove_left_by_the_dead(path, kOld);
  for (;;) {
    const std::string temporary = own_name(path + kOurs) + kTemporary;
    auto claim = FolderClaim::take(temporary);
    if (absl::IsFailedPrecondition(claim.status()) || absl::IsUnimplemented(claim.status())) continue;
    AGORA_RETURN_IF_ERROR(claim.status());
    if (!is_free(temporary)) continue;  // left by a namesake of this process, and could not be removed
    return std::unique_ptr<AtomicFolder>(new AtomicFolder(std::move(path), mark, *std::move(claim)));
  }
}

AtomicFolder::AtomicFolder(std::string target, std::string mark, std::unique_ptr<FolderClaim> claim)
    : target_(std::move(target)),
      mark_(std::move(mark)),
      temporary_(claim->path()),
      claim_(std::move(claim)) {}

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
  // A file system without exchange: for a moment only the folder by the old one's name holds it.
  const std::string old = own_name(target_ + kOurs) + kOld;
  if (::rename(target_.c_str(), old.c_str()) != 0) return file_error("replace", target_, errno);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
    const int error = errno;
    ::rename(old.c_str(), target_.c_str());
    return file_error("replace", target_, error);
  }
  AGORA_RETURN_IF_ERROR(sync_folder_of(target_));
  std::error_code ignored;
  fs::remove_all(old, ignored);
  return absl::OkStatus();
}

}  // namespace agora::weights
