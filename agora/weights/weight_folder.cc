#include "agora/weights/weight_folder.h"

#include <algorithm>
#include <map>
#include <utility>

#include "agora/base/check.h"
#include "agora/base/text.h"
#include "agora/weights/atomic_file.h"
#include "agora/weights/safetensors_header.h"
#include "agora/weights/strict_json.h"

namespace agora::weights {

using base::concat;
using base::in_quotes;

namespace {

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";

using TensorsByShard = std::map<std::string, std::vector<std::string>>;

// A shard's name must be a plain file name: "../x" or "/etc/x" in a foreign index may not lead out of the
// folder.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name.size() <= 255 && name.front() != '.' && name.find('/') == name.npos &&
         name.find('\0') == name.npos;
}

}  // namespace

StatusOr<std::map<std::string, std::vector<std::string>>> parse_weight_index(std::string_view text,
                                                                             const std::string& file) {
  AGORA_ASSIGN_OR_RETURN(const nlohmann::json index,
                         parse_json(text, file, {.bytes_max = kIndexBytesMax, .depth_max = 8}));
  const auto bad = [&](std::string_view what) {
    return absl::InvalidArgumentError(concat(file, ": ", what));
  };
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    return bad("expected an object with the key \"weight_map\", a map from tensors to files");
  }
  TensorsByShard shards;
  for (const auto& [tensor, shard] : index["weight_map"].items()) {
    if (!shard.is_string() || !is_plain_name(shard.get_ref<const std::string&>())) {
      return bad(concat("tensor ", in_quotes(tensor), " must be in a file of the same folder, not in ",
                        in_quotes(shard.is_string() ? shard.get<std::string>() : "something else")));
    }
    shards[shard.get<std::string>()].push_back(tensor);
    if (shards.size() > kShardsMax) return bad(concat("there are more than ", kShardsMax, " files"));
  }
  if (shards.empty()) return bad("the weight_map is empty");
  return shards;
}

StatusOr<std::unique_ptr<WeightFolder>> WeightFolder::open(const std::string& dir) {
  std::unique_ptr<WeightFolder> folder(new WeightFolder);
  folder->dir_ = dir;
  const std::string single = concat(dir, "/", kSingleFile);
  const std::string index = concat(dir, "/", kIndexFile);
  if (file_exists(index)) {
    AGORA_ASSIGN_OR_RETURN(const std::string text, read_file(index, kIndexBytesMax));
    AGORA_ASSIGN_OR_RETURN(const TensorsByShard shards, parse_weight_index(text, index));
    for (const auto& [shard, names] : shards) {
      AGORA_ASSIGN_OR_RETURN(auto file, SafetensorsFile::open(concat(dir, "/", shard)));
      for (const std::string& name : names) {
        if (file->find(name) != nullptr) continue;
        return absl::DataLossError(concat(index, " says that tensor ", in_quotes(name), " is in ", shard,
                                          ", but it is not; fetch the folder again"));
      }
      AGORA_RETURN_IF_ERROR(folder->add_file(std::move(file)));
    }
  } else {
    if (!file_exists(single)) {
      return absl::InvalidArgumentError(
          concat(dir, " holds no model: expected ", kSingleFile, " or ", kIndexFile, " in it"));
    }
    AGORA_ASSIGN_OR_RETURN(auto file, SafetensorsFile::open(single));
    AGORA_RETURN_IF_ERROR(folder->add_file(std::move(file)));
  }
  return folder;
}

Status WeightFolder::add_file(std::unique_ptr<SafetensorsFile> file) {
  for (const TensorRef& tensor : file->tensors()) {
    if (!by_name_.emplace(tensor.name, &tensor).second) {
      return absl::InvalidArgumentError(concat(dir_, ": tensor ", in_quotes(tensor.name),
                                               " is in two files, ", by_name_[tensor.name]->file, " and ",
                                               file->path()));
    }
    tensors_.push_back(&tensor);
  }
  files_.push_back(std::move(file));
  return absl::OkStatus();
}

const TensorRef* WeightFolder::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

StatusOr<const TensorRef*> WeightFolder::need(std::string_view name) const {
  if (const TensorRef* tensor = find(name)) return tensor;
  return absl::InvalidArgumentError(
      concat(dir_, ": tensor ", in_quotes(name), " is missing; it has ", tensors_.size(), " others"));
}

Status WeightFolder::verify() const {
  for (const auto& file : files_) AGORA_RETURN_IF_ERROR(file->verify());
  return absl::OkStatus();
}

Status WeightFolder::verify(const TensorRef& tensor) const {
  const auto file = std::ranges::find(files_, tensor.file, [](const auto& f) { return f->path(); });
  AGORA_CHECK(file != files_.end());
  return (*file)->verify(tensor);
}

}  // namespace agora::weights
