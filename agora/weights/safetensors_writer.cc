#include <algorithm>
#include <array>
#include <bit>
#include <span>
#include <unordered_set>

#include "agora/base/check.h"
#include "agora/base/text.h"
#include "agora/weights/safetensors.h"
#include "agora/weights/safetensors_header.h"

namespace agora::weights {

using base::concat;
using base::in_quotes;

namespace {

static_assert(std::endian::native == std::endian::little, "values are written as they lie");

constexpr int64_t kConvertedAtATime = 8192;  // elements

Status check_specs(const std::vector<TensorSpec>& specs, const std::string& path) {
  std::unordered_set<std::string_view> names;
  for (const TensorSpec& spec : specs) {
    if (names.insert(spec.name).second && static_cast<int64_t>(spec.name.size()) <= kNameBytesMax) continue;
    return absl::InvalidArgumentError(
        concat(path, ": the tensor name ", in_quotes(spec.name), " is there twice or too long"));
  }
  return absl::OkStatus();
}

template <class To, class Convert, class Sink>
Status convert_row(std::span<const float> row, Convert convert, Sink sink) {
  std::array<To, kConvertedAtATime> converted;
  while (!row.empty()) {
    const size_t count = std::min(row.size(), converted.size());
    std::transform(row.begin(), row.begin() + static_cast<int64_t>(count), converted.begin(), convert);
    AGORA_RETURN_IF_ERROR(sink(std::as_bytes(std::span(converted).first(count))));
    row = row.subspan(count);
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<SafetensorsWriter>> SafetensorsWriter::create(const std::string& path,
                                                                       std::vector<TensorSpec> specs,
                                                                       Metadata metadata) {
  AGORA_RETURN_IF_ERROR(check_specs(specs, path));
  std::unique_ptr<SafetensorsWriter> writer(new SafetensorsWriter);
  writer->specs_ = std::move(specs);
  writer->metadata_ = std::move(metadata);
  // The hashes are known last, but their length is known now: they are written over these zeros by finish().
  const std::string unknown(2 * std::tuple_size_v<Digest>, '0');
  writer->metadata_[std::string(kFileHashKey)] = unknown;
  for (const TensorSpec& spec : writer->specs_) {
    writer->metadata_[concat(kTensorHashPrefix, spec.name)] = unknown;
  }
  AGORA_ASSIGN_OR_RETURN(writer->file_, AtomicFile::create(path));
  AGORA_ASSIGN_OR_RETURN(const std::string header, writer->header());
  AGORA_RETURN_IF_ERROR(writer->file_->append(base::as_bytes(header)));
  return writer;
}

StatusOr<std::string> SafetensorsWriter::header() const {
  return format_header(specs_, metadata_, file_->path());
}

const TensorSpec& SafetensorsWriter::next_spec(std::string_view name) const {
  AGORA_CHECK_LT(next_, specs_.size());
  AGORA_CHECK_EQ(specs_[next_].name, name);
  return specs_[next_];
}

Status SafetensorsWriter::append(Bytes bytes, Sha256& hash) {
  hash.update(bytes);
  return file_->append(bytes);
}

void SafetensorsWriter::end_tensor(Sha256& hash) {
  metadata_[concat(kTensorHashPrefix, specs_[next_].name)] = to_hex(hash.finish());
  ++next_;
}

Status SafetensorsWriter::add(std::string_view name, View<const float> values) {
  const TensorSpec& spec = next_spec(name);
  AGORA_CHECK_EQ(values.size() * tensor::size_of(spec.dtype), bytes_of(spec));
  Sha256 hash;
  const auto sink = [&](Bytes bytes) { return append(bytes, hash); };
  for (int64_t r = 0; r < values.rows; ++r) {
    const std::span<const float> row = values.row_span(r);
    switch (spec.dtype) {
      case DType::f32:
        AGORA_RETURN_IF_ERROR(sink(std::as_bytes(row)));
        break;
      case DType::bf16:
        AGORA_RETURN_IF_ERROR(convert_row<tensor::bf16>(row, tensor::to_bf16, sink));
        break;
      case DType::f16:
        AGORA_RETURN_IF_ERROR(convert_row<tensor::f16>(row, tensor::to_f16, sink));
        break;
      default:
        AGORA_CHECK_EQ(tensor::name_of(spec.dtype), "a float type");
    }
  }
  end_tensor(hash);
  return absl::OkStatus();
}

Status SafetensorsWriter::add_bytes(std::string_view name, Bytes bytes) {
  AGORA_CHECK_EQ(static_cast<int64_t>(bytes.size()), bytes_of(next_spec(name)));
  Sha256 hash;
  AGORA_RETURN_IF_ERROR(append(bytes, hash));
  end_tensor(hash);
  return absl::OkStatus();
}

Status SafetensorsWriter::finish() {
  AGORA_CHECK_EQ(next_, specs_.size());
  metadata_[std::string(kFileHashKey)] = sha256_hex(base::as_bytes(hashed_text(specs_, metadata_)));
  AGORA_ASSIGN_OR_RETURN(const std::string final_header, header());
  AGORA_RETURN_IF_ERROR(file_->overwrite(0, base::as_bytes(final_header)));
  return file_->commit();
}

}  // namespace agora::weights
