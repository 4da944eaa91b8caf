#include "agora/weights/files.h"

#include <algorithm>
#include <filesystem>

#include "agora/base/text.h"
#include "agora/weights/atomic_file.h"

namespace agora::weights {

std::vector<std::string> RealFiles::list(const std::string& folder, size_t names_max) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    names.push_back(at->path().filename().string());
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
