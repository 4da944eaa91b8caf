#include "agora/swarm/host/snapshot_folder.h"

#include <algorithm>
#include <charconv>

#include "agora/base/text.h"

namespace agora::swarm {
namespace {

constexpr std::string_view kEnding = ".safetensors";

// LAYER.EXPERT.safetensors
bool read_file_name(std::string_view name, ExpertName* expert) {
  const char* const end = name.data() + name.size();
  const auto [dot, error] = std::from_chars(name.data(), end, expert->layer.value);
  if (error != std::errc() || dot == end || *dot != '.') return false;
  const auto [rest, error_too] = std::from_chars(dot + 1, end, expert->expert.value);
  return error_too == std::errc() && std::string_view(rest, end) == kEnding && expert->layer.value >= 0 &&
         expert->expert.value >= 0;
}

std::string file_name(ExpertName expert) {
  return base::concat(expert.layer.value, ".", expert.expert.value, kEnding);
}

}  // namespace

std::string SnapshotFolder::path_of(ExpertName expert) const {
  return base::concat(path_, "/", file_name(expert));
}

std::vector<ExpertName> SnapshotFolder::list() const {
  std::vector<ExpertName> experts;
  for (const std::string& name : files_->list(path_, kSnapshotFilesMax)) {
    ExpertName expert;
    if (read_file_name(name, &expert)) experts.push_back(expert);
  }
  std::sort(experts.begin(), experts.end());
  return experts;
}

Status SnapshotFolder::save(ExpertName expert, base::Bytes snapshot) const {
  return files_->write(path_, file_name(expert), snapshot);
}

StatusOr<std::string> SnapshotFolder::load(ExpertName expert, int64_t bytes_max) const {
  return files_->read(path_of(expert), bytes_max);
}

void SnapshotFolder::remove(ExpertName expert) const { files_->remove(path_of(expert)); }

}  // namespace agora::swarm
