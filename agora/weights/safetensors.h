// Named tensors in one file: the safetensors format, mapped for reading and streamed for writing.
//
//   AGORA_ASSIGN_OR_RETURN(auto file, SafetensorsFile::open("model.safetensors"));
//   AGORA_RETURN_IF_ERROR(file->verify());                  // content hashes, where the file has them
//   const TensorRef* w = file->find("model.norm.weight");   // borrowed from the map; nullptr if absent
//   AGORA_RETURN_IF_ERROR(read_f32(*w, buffer.view(), NonFinite::refuse));
//
//   std::vector<TensorSpec> specs = {{"a", DType::f32, {4, 8}}, {"b", DType::bf16, {8}}};
//   AGORA_ASSIGN_OR_RETURN(auto writer, SafetensorsWriter::create("x.safetensors", specs));
//   AGORA_RETURN_IF_ERROR(writer->add("a", a.view()));                    // in the order of the specs
//   AGORA_RETURN_IF_ERROR(writer->add("b", b.view()));
//   AGORA_RETURN_IF_ERROR(writer->finish());                              // only now the file appears
//
// The writer puts the SHA-256 of each tensor into __metadata__ ("sha256:NAME") and one over all names, types,
// shapes and hashes ("sha256"), so that a changed byte is found with the name of its tensor. Files without
// hashes open too. Headers are foreign bytes: every length, count and offset is checked before it is used;
// see the limits below. Reading: any thread. Writing: one thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agora/base/bytes.h"
#include "agora/base/result.h"
#include "agora/tensor/dtype.h"
#include "agora/tensor/view.h"
#include "agora/weights/atomic_file.h"
#include "agora/weights/hash.h"

namespace agora::weights {

using tensor::DType;
using tensor::View;

constexpr int64_t kHeaderBytesMax = 100'000'000;  // the format's own limit
constexpr int64_t kTensorsMax = 1'000'000;        // the largest open models have about 100,000
constexpr int64_t kRankMax = 8;
constexpr int64_t kNameBytesMax = 1024;

using Metadata = std::map<std::string, std::string>;

struct TensorSpec {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;  // empty: a scalar
};

struct TensorRef : TensorSpec {
  Bytes bytes;       // little-endian, row by row, any alignment; borrowed from the file
  std::string file;  // for messages

  int64_t count() const { return static_cast<int64_t>(bytes.size()) / tensor::size_of(dtype); }
};

enum class NonFinite : uint8_t { accept, refuse };

// Fills out from f32, bf16, f16 or f64. Wanted: rank 2 [rows, cols]; or any shape with rows * cols elements,
// cols its last dimension or rows 1. NaN or infinity under `refuse` is kDataLoss naming tensor and element.
// Cost: one pass.
Status read_f32(const TensorRef& tensor, View<float> out, NonFinite non_finite = NonFinite::refuse);

class SafetensorsFile {
 public:
  static StatusOr<std::unique_ptr<SafetensorsFile>> open(const std::string& path);
  // The same checks on bytes in memory, which must outlive the object; `name` is for messages.
  static StatusOr<std::unique_ptr<SafetensorsFile>> parse(Bytes bytes, const std::string& name);

  const std::vector<TensorRef>& tensors() const { return tensors_; }  // in the order of their bytes
  const TensorRef* find(std::string_view name) const;
  const Metadata& metadata() const { return metadata_; }
  const std::string& path() const { return path_; }

  bool has_hashes() const;
  // Reads every byte. kDataLoss names the tensor that is not what was written. No hashes: OK, nothing
  // checked.
  Status verify() const;
  Status verify(const TensorRef& tensor) const;  // of this file; its bytes alone

 private:
  SafetensorsFile() = default;
  Status read(Bytes bytes);

  std::string path_;
  std::unique_ptr<MappedFile> map_;
  std::vector<TensorRef> tensors_;
  std::unordered_map<std::string_view, size_t> by_name_;  // keys borrow from tensors_
  Metadata metadata_;
};

// The same file as bytes, for f32 tensors that lie in memory: values[i] is specs[i]'s, by rows. As
// SafetensorsWriter would write it, hashes included.
StatusOr<std::vector<std::byte>> safetensors_bytes(std::span<const TensorSpec> specs,
                                                   std::span<const std::span<const float>> values,
                                                   Metadata metadata);

class SafetensorsWriter {
 public:
  static StatusOr<std::unique_ptr<SafetensorsWriter>> create(const std::string& path,
                                                             std::vector<TensorSpec> specs,
                                                             Metadata metadata = {});
  // The next tensor, in the order of the specs. Floats are stored as the spec says: f32, bf16 or f16. A wrong
  // name, size or dtype is a bug of the caller (CHECK).
  Status add(std::string_view name, View<const float> values);
  Status add_bytes(std::string_view name, Bytes bytes);  // as they are
  Status finish();

 private:
  SafetensorsWriter() = default;
  const TensorSpec& next_spec(std::string_view name) const;
  Status append(Bytes bytes, Sha256& hash);
  void end_tensor(Sha256& hash);
  StatusOr<std::string> header() const;  // length and JSON, the same size whatever the hashes

  std::unique_ptr<AtomicFile> file_;
  std::vector<TensorSpec> specs_;
  size_t next_ = 0;  // of specs_
  Metadata metadata_;
};

}  // namespace agora::weights
