#include "agora/sim/disk.h"

#include "agora/base/text.h"

namespace agora::sim {

using base::concat;

std::vector<std::string> SimDisk::list(const std::string& folder, size_t names_max) {
  std::vector<std::string> names;
  const std::string prefix = folder + "/";
  for (auto at = files_.lower_bound(prefix); at != files_.end() && at->first.starts_with(prefix); ++at) {
    if (names.size() == names_max) break;
    names.push_back(at->first.substr(prefix.size()));
  }
  return names;
}

Status SimDisk::write(const std::string& folder, const std::string& name, base::Bytes content) {
  const std::string path = concat(folder, "/", name);
  if (faults.full) {
    ++counters_.writes_refused;
    return absl::ResourceExhaustedError(concat(path, ": no space left on device"));
  }
  ++counters_.writes;
  files_[path] = std::string(base::as_text(content));
  unsettled_.push_back(path);
  if (unsettled_.size() > kUnsettledWrites) unsettled_.pop_front();
  return absl::OkStatus();
}

StatusOr<std::string> SimDisk::read(const std::string& path, int64_t bytes_max) {
  const auto found = files_.find(path);
  if (found == files_.end()) return absl::NotFoundError(concat(path, ": no such file"));
  std::string& content = found->second;
  ++counters_.reads;
  if (!content.empty() && chance(faults.flip_ppm)) {
    const uint32_t bit = rng_.below(static_cast<uint32_t>(8 * content.size()));
    content[bit / 8] = static_cast<char>(static_cast<unsigned char>(content[bit / 8]) ^ 1u << bit % 8);
    ++counters_.bits_flipped;
  }
  if (std::ssize(content) > bytes_max) {
    return absl::InvalidArgumentError(concat(path, ": expected at most ", bytes_max, " bytes"));
  }
  return content;
}

void SimDisk::power_off() {
  if (!unsettled_.empty() && chance(faults.torn_ppm)) {
    const auto file = files_.find(unsettled_[rng_.below(static_cast<uint32_t>(unsettled_.size()))]);
    if (file != files_.end() && !file->second.empty()) {
      file->second.resize(rng_.below(static_cast<uint32_t>(file->second.size())));
      ++counters_.torn;
    }
  }
  unsettled_.clear();
}

}  // namespace agora::sim
