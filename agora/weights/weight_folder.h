// The tensors of a model folder: model.safetensors, or shards named by model.safetensors.index.json.
//
//   AGORA_ASSIGN_OR_RETURN(auto weights, WeightFolder::open("runs/7/model"));
//   AGORA_ASSIGN_OR_RETURN(const TensorRef* w, weights->need("lm_head.weight"));
//
//   AGORA_ASSIGN_OR_RETURN(auto writer, WeightFolderWriter::create(dir, specs, kShardBytesMax));
//   for (const TensorSpec& spec : specs) AGORA_RETURN_IF_ERROR(writer->add(spec.name, values_of(spec)));
//   AGORA_RETURN_IF_ERROR(writer->finish());
//
// A shard is a file in the folder itself: an index that points elsewhere is refused. The writer commits all
// shards at finish(), the index last; write into an AtomicFolder to replace a whole model in one step.
// Reading: any thread. Writing: one thread at a time.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "agora/weights/safetensors.h"

namespace agora::weights {

constexpr int64_t kShardBytesMax = 5'000'000'000;  // Hugging Face's usual size
constexpr int64_t kIndexBytesMax = 32'000'000;
constexpr size_t kShardsMax = 10'000;

// The index file: which tensors each shard holds. Refuses shards that are not plain file names.
StatusOr<std::map<std::string, std::vector<std::string>>> parse_weight_index(std::string_view text,
                                                                             const std::string& file);

class WeightFolder {
 public:
  static StatusOr<std::unique_ptr<WeightFolder>> open(const std::string& dir);

  const TensorRef* find(std::string_view name) const;            // nullptr if absent
  StatusOr<const TensorRef*> need(std::string_view name) const;  // or an error that names tensor and folder
  const std::vector<const TensorRef*>& tensors() const { return tensors_; }
  const std::vector<std::unique_ptr<SafetensorsFile>>& files() const { return files_; }
  Status verify() const;
  Status verify(const TensorRef& tensor) const;  // of this folder; its bytes alone

 private:
  WeightFolder() = default;
  Status add_file(std::unique_ptr<SafetensorsFile> file);

  std::string dir_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::vector<const TensorRef*> tensors_;
  std::unordered_map<std::string_view, const TensorRef*> by_name_;
};

class WeightFolderWriter {
 public:
  // One file if all fits into shard_bytes_max, else as many shards as needed, each of whole tensors.
  static StatusOr<std::unique_ptr<WeightFolderWriter>> create(const std::string& dir,
                                                              const std::vector<TensorSpec>& specs,
                                                              int64_t shard_bytes_max,
                                                              const Metadata& metadata = {});
  Status add(std::string_view name, View<const float> values);  // in the order of the specs
  Status add_bytes(std::string_view name, Bytes bytes);
  Status finish();

 private:
  WeightFolderWriter() = default;
  SafetensorsWriter& next_writer();

  std::string dir_;
  std::vector<std::string> names_;  // of the shards
  std::vector<std::unique_ptr<SafetensorsWriter>> writers_;
  std::vector<std::pair<std::string, size_t>> shard_of_;  // each tensor's name and shard, in order
  size_t next_ = 0;                                       // of shard_of_
  int64_t total_bytes_ = 0;
};

}  // namespace agora::weights
