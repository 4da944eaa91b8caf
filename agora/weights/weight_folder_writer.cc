#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "agora/base/check.h"
#include "agora/base/text.h"
#include "agora/weights/file_error.h"
#include "agora/weights/safetensors_header.h"
#include "agora/weights/weight_folder.h"
#include <sys/stat.h>

#include "nlohmann/json.hpp"

namespace agora::weights {

using base::concat;

namespace {

// Fills shards in order; a tensor larger than the limit gets a shard of its own.
std::vector<std::vector<TensorSpec>> divide(const std::vector<TensorSpec>& specs, int64_t shard_bytes_max) {
  std::vector<std::vector<TensorSpec>> shards(1);
  int64_t bytes = 0;
  for (const TensorSpec& spec : specs) {
    if (!shards.back().empty() && bytes + bytes_of(spec) > shard_bytes_max) {
      shards.emplace_back();
      bytes = 0;
    }
    bytes += bytes_of(spec);
    shards.back().push_back(spec);
  }
  return shards;
}

// model-00001-of-00003.safetensors, as Hugging Face names them.
std::string shard_name(size_t index, size_t count) {
  if (count == 1) return "model.safetensors";
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return name;
}

}  // namespace

StatusOr<std::unique_ptr<WeightFolderWriter>> WeightFolderWriter::create(const std::string& dir,
                                                                         const std::vector<TensorSpec>& specs,
                                                                         int64_t shard_bytes_max,
                                                                         const Metadata& metadata) {
  std::unique_ptr<WeightFolderWriter> writer(new WeightFolderWriter);
  writer->dir_ = dir;
  std::vector<std::vector<TensorSpec>> shards = divide(specs, shard_bytes_max);
  for (size_t i = 0; i < shards.size(); ++i) {
    writer->names_.push_back(shard_name(i, shards.size()));
    for (const TensorSpec& spec : shards[i]) {
      writer->total_bytes_ += bytes_of(spec);
      writer->shard_of_.emplace_back(spec.name, i);
    }
    const std::string path = concat(dir, "/", writer->names_[i]);
    AGORA_ASSIGN_OR_RETURN(auto shard, SafetensorsWriter::create(path, std::move(shards[i]), metadata));
    writer->writers_.push_back(std::move(shard));
  }
  return writer;
}

SafetensorsWriter& WeightFolderWriter::next_writer() {
  AGORA_CHECK_LT(next_, shard_of_.size());
  return *writers_[shard_of_[next_++].second];
}

Status WeightFolderWriter::add(std::string_view name, View<const float> values) {
  return next_writer().add(name, values);
}

Status WeightFolderWriter::add_bytes(std::string_view name, Bytes bytes) {
  return next_writer().add_bytes(name, bytes);
}

Status WeightFolderWriter::finish() {
  for (const auto& writer : writers_) AGORA_RETURN_IF_ERROR(writer->finish());
  const std::string index_path = concat(dir_, "/model.safetensors.index.json");
  if (names_.size() == 1) {
    // An index that an earlier, larger model left would be read before the single file.
    if (::unlink(index_path.c_str()) != 0 && errno != ENOENT) return file_error("remove", index_path, errno);
    return absl::OkStatus();
  }
  nlohmann::json index;  // sorted by name, as Hugging Face's are
  index["metadata"]["total_size"] = total_bytes_;
  for (const auto& [tensor, shard] : shard_of_) index["weight_map"][tensor] = names_[shard];
  return write_file_atomic(index_path, index.dump(2) + "\n");
}

}  // namespace agora::weights
