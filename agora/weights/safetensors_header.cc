#include "agora/weights/safetensors_header.h"

#include <algorithm>
#include <array>
#include <optional>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "absl/strings/escaping.h"
#include "agora/base/check.h"
#include "agora/base/text.h"

#include "nlohmann/json.hpp"

namespace agora::weights {

using base::concat;
using base::in_quotes;
using base::listed;

namespace {

using nlohmann::json;

constexpr size_t kDataAlignment = 64;  // of the first tensor in the file
constexpr std::string_view kMetadataKey = "__metadata__";
constexpr size_t kMetadataMax = kTensorsMax + 1000;  // a hash for each tensor, and some more

std::optional<DType> dtype_named(std::string_view name) {
  constexpr DType kAll[] = {DType::f64, DType::f32,     DType::bf16,    DType::f16,
                            DType::i64, DType::i32,     DType::i16,     DType::i8,
                            DType::u8,  DType::boolean, DType::u64,     DType::u32,
                            DType::u16, DType::f8_e4m3, DType::f8_e5m2, DType::f8_e8m0};
  for (const DType dtype : kAll) {
    if (tensor::name_of(dtype) == name) return dtype;
  }
  return std::nullopt;
}

// Follows the parser's events through {NAME: {"dtype": ., "shape": [.], "data_offsets": [.]}, "__metadata__":
// {.}}. A handler that returns false ends the parse; error() then says why.
class HeaderEvents : public nlohmann::json_sax<json> {
 public:
  Status error() const { return absl::InvalidArgumentError(error_); }
  SafetensorsHeader take() { return std::move(header_); }

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("true or false"); }
  bool number_float(double, const std::string& text) override { return unexpected(text); }
  bool binary(json::binary_t&) override { return unexpected("binary"); }
  bool number_integer(int64_t value) override { return unexpected(concat(value)); }

  bool number_unsigned(uint64_t value) override {
    const bool fits = value <= static_cast<uint64_t>(INT64_MAX);
    if (place_ != Place::numbers || !fits) return unexpected(concat(value));
    numbers_.push_back(static_cast<int64_t>(value));
    if (static_cast<int64_t>(numbers_.size()) <= kRankMax) return true;
    return fail(concat(field_, " has more than ", kRankMax, " numbers"));
  }

  bool string(std::string& value) override {
    if (place_ == Place::metadata) {
      if (header_.metadata.size() >= kMetadataMax) return fail("there is too much metadata");
      if (header_.metadata.emplace(field_, std::move(value)).second) return true;
      return fail(concat("the key ", in_quotes(field_), " appears twice"));
    }
    if (place_ != Place::tensor || field_ != "dtype") return unexpected("a text");
    dtype_ = dtype_named(value);
    if (!dtype_) return fail(concat("its dtype ", in_quotes(value), " is not supported"));
    return true;
  }

  bool start_object(size_t) override {
    if (place_ == Place::outside) {
      place_ = Place::top;
    } else if (place_ == Place::top) {
      place_ = name_ == kMetadataKey ? Place::metadata : Place::tensor;
    } else {
      return unexpected("an object");
    }
    return true;
  }

  bool key(std::string& value) override {
    if (place_ == Place::top) return start_entry(value);
    field_ = value;
    if (place_ == Place::metadata) return true;
    const bool seen = (field_ == "dtype" && dtype_) || (field_ == "shape" && shape_) ||
                      (field_ == "data_offsets" && offsets_);
    return !seen || fail(concat("its key ", in_quotes(field_), " appears twice"));
  }

  bool start_array(size_t) override {
    const bool takes_list = field_ == "shape" || field_ == "data_offsets";
    if (place_ != Place::tensor || !takes_list) return unexpected("a list");
    place_ = Place::numbers;
    numbers_.clear();
    return true;
  }

  bool end_array() override {
    place_ = Place::tensor;
    (field_ == "shape" ? shape_ : offsets_) = numbers_;
    return true;
  }

  bool end_object() override {
    if (place_ == Place::tensor && !finish_tensor()) return false;
    place_ = place_ == Place::top ? Place::outside : Place::top;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const json::exception&) override {
    error_ = concat("the header is not JSON from its byte ", position, " on");
    return false;
  }

 private:
  enum class Place : uint8_t { outside, top, metadata, tensor, numbers };

  bool fail(std::string what) {
    const bool in_tensor = place_ == Place::tensor || place_ == Place::numbers;
    error_ = in_tensor ? concat("tensor ", in_quotes(name_), ": ", what) : std::move(what);
    return false;
  }
  bool unexpected(std::string_view what) {
    return fail(
        concat(what, " where the format has none", ", at ", in_quotes(field_.empty() ? name_ : field_)));
  }

  bool start_entry(const std::string& name) {
    name_ = name;
    field_.clear();
    dtype_.reset();
    shape_.reset();
    offsets_.reset();
    if (static_cast<int64_t>(name.size()) > kNameBytesMax) {
      return fail(concat("a tensor's name has ", name.size(), " bytes, the limit is ", kNameBytesMax));
    }
    if (!names_.insert(name).second) return fail(concat("the name ", in_quotes(name), " appears twice"));
    if (static_cast<int64_t>(names_.size()) <= kTensorsMax) return true;
    return fail(concat("there are more than ", kTensorsMax, " tensors"));
  }

  bool finish_tensor() {
    if (!dtype_ || !shape_ || !offsets_) return fail("dtype, shape or data_offsets is missing");
    if (offsets_->size() != 2) return fail("data_offsets must be two numbers");
    int64_t bytes = tensor::size_of(*dtype_);
    for (const int64_t dimension : *shape_) {
      if (!base::multiply_sizes(bytes, dimension, &bytes)) {
        return fail(concat("its shape ", listed(*shape_), " is too large for any file"));
      }
    }
    const int64_t begin = (*offsets_)[0];
    const int64_t end = (*offsets_)[1];
    if (end < begin || end - begin != bytes) {
      return fail(concat("its shape ", listed(*shape_), " needs ", bytes, " bytes, its data_offsets are ",
                         begin, " to ", end));
    }
    header_.entries.push_back({{name_, *dtype_, *shape_}, begin, end});
    return true;
  }

  Place place_ = Place::outside;
  std::string name_;   // of the tensor, or kMetadataKey
  std::string field_;  // the key inside it
  std::optional<DType> dtype_;
  std::optional<std::vector<int64_t>> shape_;
  std::optional<std::vector<int64_t>> offsets_;
  std::vector<int64_t> numbers_;
  std::unordered_set<std::string> names_;
  SafetensorsHeader header_;
  std::string error_ = "the header is empty";
};

}  // namespace

StatusOr<SafetensorsHeader> parse_header(std::string_view json_text, const std::string& file) {
  // The parser takes a NUL for the end of the text and would not look at what follows.
  if (json_text.find('\0') != json_text.npos) {
    return absl::InvalidArgumentError(concat(file, ": the header is not JSON: it has a zero byte"));
  }
  HeaderEvents events;
  if (!json::sax_parse(json_text, &events)) {
    return absl::InvalidArgumentError(concat(file, ": ", events.error().message()));
  }
  SafetensorsHeader header = events.take();
  std::sort(header.entries.begin(), header.entries.end(), [](const HeaderEntry& a, const HeaderEntry& b) {
    return std::tie(a.begin, a.end, a.spec.name) < std::tie(b.begin, b.end, b.spec.name);
  });
  return header;
}

std::string hashed_text(std::span<const TensorSpec> specs, const Metadata& metadata) {
  std::vector<std::string> lines;
  for (const TensorSpec& spec : specs) {
    const std::string_view dtype = tensor::name_of(spec.dtype);
    lines.push_back(concat("tensor ", absl::CEscape(spec.name), " ", dtype, " ", listed(spec.shape), "\n"));
  }
  for (const auto& [key, value] : metadata) {
    if (key == kFileHashKey) continue;
    lines.push_back(concat("metadata ", absl::CEscape(key), " ", absl::CEscape(value), "\n"));
  }
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const std::string& line : lines) text += line;
  return text;
}

int64_t bytes_of(const TensorSpec& spec) {
  int64_t bytes = tensor::size_of(spec.dtype);
  for (const int64_t dimension : spec.shape) AGORA_CHECK(base::multiply_sizes(bytes, dimension, &bytes));
  return bytes;
}

StatusOr<std::string> format_header(std::span<const TensorSpec> specs, const Metadata& metadata,
                                    const std::string& file) {
  try {
    // Tensor by tensor: an object that keeps their order would look for each name among all before it.
    using Json = nlohmann::ordered_json;
    std::string text = concat("{", Json(kMetadataKey).dump(), ":", Json(metadata).dump());
    int64_t offset = 0;
    for (const TensorSpec& spec : specs) {
      if (spec.name == kMetadataKey) {
        return absl::InvalidArgumentError(concat(file, ": expected another name for the tensor ",
                                                 in_quotes(spec.name), ", the format's own"));
      }
      const int64_t begin = std::exchange(offset, offset + bytes_of(spec));
      const Json entry{
          {"dtype", tensor::name_of(spec.dtype)}, {"shape", spec.shape}, {"data_offsets", {begin, offset}}};
      text += concat(",", Json(spec.name).dump(), ":", entry.dump());
    }
    text += "}";
    const size_t length = sizeof(uint64_t);
    text.append((kDataAlignment - (length + text.size()) % kDataAlignment) % kDataAlignment, ' ');
    std::array<std::byte, sizeof(uint64_t)> size;
    base::store_le<uint64_t>(text.size(), size.data());
    return concat(base::as_text(size), text);
  } catch (const nlohmann::json::exception&) {
    return absl::InvalidArgumentError(concat(file, ": a tensor's name or a metadata value is not UTF-8"));
  }
}

}  // namespace agora::weights
