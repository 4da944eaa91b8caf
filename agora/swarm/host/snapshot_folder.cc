#include "agora/swarm/host/snapshot_folder.h"

#include <algorithm>
#include <charconv>

#include "agora/base/text.h"
#include "agora/swarm/host/host_messages.h"
#include "agora/weights/hash.h"

namespace agora::swarm {
namespace {

constexpr std::string_view kEnding = ".safetensors";
// What encode_experts() gives, and a hash of it and of whose swarm it is: a name with a bit turned over would
// be another expert, gone for ever.
constexpr const char* kRetiredFile = "retired";
constexpr int64_t kRetiredBytesMax = kHeadsBytesMax;

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

weights::Digest hash_of(base::Bytes retired, const peers::SwarmId& swarm) {
  weights::Sha256 hash;
  hash.update(swarm.bytes);
  hash.update(retired);
  return hash.finish();
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

Status SnapshotFolder::save_retired(std::span<const ExpertName> retired, const peers::SwarmId& swarm) const {
  const peers::Payload names = encode_experts(retired);
  const weights::Digest hash = hash_of(names.bytes(), swarm);
  std::vector<std::byte> content(names.bytes().begin(), names.bytes().end());
  const base::Bytes ending = std::as_bytes(std::span(hash));
  content.insert(content.end(), ending.begin(), ending.end());
  return files_->write(path_, kRetiredFile, content);
}

StatusOr<std::vector<ExpertName>> SnapshotFolder::load_retired(const peers::SwarmId& swarm) const {
  const std::vector<std::string> there = files_->list(path_, kSnapshotFilesMax);
  if (!std::ranges::binary_search(there, kRetiredFile)) return std::vector<ExpertName>();
  const std::string path = base::concat(path_, "/", kRetiredFile);
  AGORA_ASSIGN_OR_RETURN(const std::string text, files_->read(path, kRetiredBytesMax));
  const base::Bytes all = base::as_bytes(text);
  const base::Bytes names = all.first(all.size() - std::min(all.size(), sizeof(weights::Digest)));
  const weights::Digest hash = hash_of(names, swarm);
  if (std::ranges::equal(std::as_bytes(std::span(hash)), all.subspan(names.size()))) {
    return read_experts(names);
  }
  return absl::DataLossError(base::concat(
      path, ": expected what this swarm has retired, found a torn or altered file, or another swarm's"));
}

}  // namespace agora::swarm
