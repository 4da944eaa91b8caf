#include "agora/swarm/host/snapshot_folder.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "agora/base/text.h"
#include "agora/weights/atomic_file.h"

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

}  // namespace

std::string SnapshotFolder::file_of(ExpertName expert) const {
  return base::concat(path_, "/", expert.layer.value, ".", expert.expert.value, kEnding);
}

std::vector<ExpertName> SnapshotFolder::list() const {
  std::vector<ExpertName> experts;
  std::error_code error;
  for (std::filesystem::directory_iterator at(path_, error), end; !error && at != end; at.increment(error)) {
    ExpertName expert;
    if (read_file_name(at->path().filename().string(), &expert)) experts.push_back(expert);
    if (experts.size() == kSnapshotFilesMax) break;
  }
  std::sort(experts.begin(), experts.end());
  return experts;
}

Status SnapshotFolder::save(ExpertName expert, base::Bytes snapshot) const {
  std::error_code error;
  std::filesystem::create_directories(path_, error);
  if (error) return absl::UnavailableError(base::concat(path_, ": can not be made: ", error.message()));
  return weights::write_file_atomic(file_of(expert), base::as_text(snapshot));
}

StatusOr<std::string> SnapshotFolder::load(ExpertName expert, int64_t bytes_max) const {
  return weights::read_file(file_of(expert), bytes_max);
}

void SnapshotFolder::remove(ExpertName expert) const {
  std::error_code ignored;
  std::filesystem::remove(file_of(expert), ignored);
}

}  // namespace agora::swarm
