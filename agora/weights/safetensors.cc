#include "agora/weights/safetensors.h"

#include <utility>

#include "agora/base/text.h"
#include "agora/weights/safetensors_header.h"

namespace agora::weights {

using base::concat;
using base::in_quotes;

namespace {

constexpr int64_t kLengthBytes = 8;  // the file opens with the length of its header

Status damaged(const std::string& file, const std::string& what) {
  return absl::DataLossError(concat(file, ": ", what, "; fetch it again, or go back to an older one"));
}

StatusOr<std::string_view> header_text(Bytes bytes, const std::string& file) {
  const auto size = static_cast<int64_t>(bytes.size());
  if (size < kLengthBytes) {
    return damaged(file, concat("a safetensors file has at least ", kLengthBytes, " bytes, this has ", size));
  }
  const uint64_t length = base::load_le<uint64_t>(bytes.data());
  if (length > static_cast<uint64_t>(kHeaderBytesMax)) {
    return absl::InvalidArgumentError(concat(file, ": the header claims ", length, " bytes, the limit is ",
                                             kHeaderBytesMax, "; this is not a safetensors file"));
  }
  if (length > bytes.size() - kLengthBytes) {
    return damaged(file, concat("the header claims ", length, " bytes, but the whole file has ", size,
                                ": it is cut short"));
  }
  return base::as_text(bytes.subspan(kLengthBytes, length));
}

// The tensors must follow each other without gap or overlap and fill the file to its end.
Status check_layout(const std::vector<HeaderEntry>& entries, int64_t data_bytes, const std::string& file) {
  int64_t expected = 0;
  for (const HeaderEntry& entry : entries) {
    if (entry.begin != expected) {
      return absl::InvalidArgumentError(
          concat(file, ": tensor ", in_quotes(entry.spec.name), " starts at byte ", entry.begin,
                 entry.begin < expected ? ", inside the tensor before it, which ends at "
                                        : ", after a gap; the tensor before it ends at ",
                 expected));
    }
    if (entry.end > data_bytes) {
      return damaged(file,
                     concat("tensor ", in_quotes(entry.spec.name), " needs the bytes ", entry.begin, " to ",
                            entry.end, ", the data ends at ", data_bytes, ": the file is cut short"));
    }
    expected = entry.end;
  }
  if (expected == data_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      concat(file, ": ", data_bytes - expected, " bytes follow the last tensor, expected none"));
}

}  // namespace

StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::open(const std::string& path) {
  AGORA_ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> map, MappedFile::open(path));
  AGORA_ASSIGN_OR_RETURN(std::unique_ptr<SafetensorsFile> file, parse(map->bytes(), path));
  file->map_ = std::move(map);
  return file;
}

StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::parse(Bytes bytes, const std::string& name) {
  std::unique_ptr<SafetensorsFile> file(new SafetensorsFile);
  file->path_ = name;
  AGORA_RETURN_IF_ERROR(file->read(bytes));
  return file;
}

Status SafetensorsFile::read(Bytes bytes) {
  AGORA_ASSIGN_OR_RETURN(const std::string_view text, header_text(bytes, path_));
  AGORA_ASSIGN_OR_RETURN(SafetensorsHeader header, parse_header(text, path_));
  const Bytes data = bytes.subspan(kLengthBytes + text.size());
  AGORA_RETURN_IF_ERROR(check_layout(header.entries, static_cast<int64_t>(data.size()), path_));

  metadata_ = std::move(header.metadata);
  tensors_.reserve(header.entries.size());
  for (HeaderEntry& entry : header.entries) {
    const Bytes own =
        data.subspan(static_cast<size_t>(entry.begin), static_cast<size_t>(entry.end - entry.begin));
    tensors_.push_back({std::move(entry.spec), own, path_});
  }
  for (size_t i = 0; i < tensors_.size(); ++i) by_name_.emplace(tensors_[i].name, i);
  return absl::OkStatus();
}

const TensorRef* SafetensorsFile::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

bool SafetensorsFile::has_hashes() const {
  if (metadata_.contains(std::string(kFileHashKey))) return true;
  const auto first = metadata_.lower_bound(std::string(kTensorHashPrefix));
  return first != metadata_.end() && first->first.starts_with(kTensorHashPrefix);
}

Status SafetensorsFile::verify() const {
  if (!has_hashes()) return absl::OkStatus();
  const std::vector<TensorSpec> specs(tensors_.begin(), tensors_.end());
  const auto file_hash = metadata_.find(std::string(kFileHashKey));
  const std::string header_hash = sha256_hex(base::as_bytes(hashed_text(specs, metadata_)));
  const bool header_intact = file_hash != metadata_.end() && file_hash->second == header_hash;
  for (const TensorRef& tensor : tensors_) AGORA_RETURN_IF_ERROR(verify(tensor));
  return header_intact ? absl::OkStatus() : damaged(path_, "the header is not what was written");
}

Status SafetensorsFile::verify(const TensorRef& tensor) const {
  if (!has_hashes()) return absl::OkStatus();
  const auto written = metadata_.find(concat(kTensorHashPrefix, tensor.name));
  if (written == metadata_.end()) {
    return damaged(path_, concat("tensor ", in_quotes(tensor.name), " has no hash, though others have"));
  }
  const std::string hash = sha256_hex(tensor.bytes);
  if (hash == written->second) return absl::OkStatus();
  return damaged(path_, concat("tensor ", in_quotes(tensor.name), " is not what was written: its SHA-256 is ",
                               hash, ", expected ", in_quotes(written->second)));
}

}  // namespace agora::weights
