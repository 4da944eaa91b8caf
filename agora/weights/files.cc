#include "agora/weights/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "agora/base/text.h"
#include "agora/weights/atomic_file.h"
#include "agora/weights/file_descriptor.h"
#include <sys/file.h>

namespace agora::weights {
namespace {

// NAME.PID.N.tmp, as AtomicFile names what it writes.
bool is_temporary(std::string_view name) {
  constexpr std::string_view kEnding = ".tmp";
  if (!name.ends_with(kEnding)) return false;
  name.remove_suffix(kEnding.size());
  for (int numbers = 0; numbers < 2; ++numbers) {
    const size_t dot = name.find_last_not_of("0123456789");
    if (dot == std::string_view::npos || dot == 0 || name[dot] != '.' || dot + 1 == name.size()) return false;
    name.remove_suffix(name.size() - dot);
  }
  return true;
}

// A writer's lock ends with it, whichever process has its number now. Where the file system has no locks the
// file stays.
bool remove_if_left(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return file.valid() && ::flock(file.get(), LOCK_EX | LOCK_NB) == 0 && ::unlink(path.c_str()) == 0;
}

}  // namespace

std::vector<std::string> RealFiles::list(const std::string& folder, size_t names_max) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (is_temporary(name) && remove_if_left(at->path().string())) continue;
    names.push_back(name);
    if (names.size() == names_max) break;
  }
  std::sort(names.begin(), names.end());
  return names;
}

Status RealFiles::write(const std::string& folder, const std::string& name, base::Bytes content) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return absl::UnavailableError(base::concat(folder, ": can not be made: ", error.message()));
  return write_file_atomic(base::concat(folder, "/", name), base::as_text(content));
}

StatusOr<std::string> RealFiles::read(const std::string& path, int64_t bytes_max) {
  return read_file(path, bytes_max);
}

void RealFiles::remove(const std::string& path) {
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
}

}  // namespace agora::weights
