#include "agora/swarm/host/snapshot.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "agora/base/text.h"

namespace agora::swarm {
namespace {

using base::concat;
using tensor::Buffer;

constexpr std::string_view kHeadKey = "agora.snapshot";  // LAYER EXPERT EPOCH VERSION, then the updates in it
constexpr const char* kRateKey = "agora.learning_rate";  // not in those of before, and read by none of those
constexpr std::string_view kLast = "last ";
constexpr const char* kSecond = ".second";
constexpr int64_t kHeaderBytesMax = 1 << 20;

struct Part {
  std::string name;
  tensor::View<float> values;
  tensor::Purpose purpose;
};

// Names are those within the expert: the same in every one.
std::vector<Part> parts_of(moe::Expert& expert) {
  using tensor::Purpose;
  std::vector<Part> parts;
  for (const tensor::ParameterView& p : expert.parameters()) {
    parts.push_back({p.name, p.value, Purpose::weight});
    parts.push_back({p.name + ".first", p.first, Purpose::optimizer});
    parts.push_back({p.name + kSecond, p.second, Purpose::optimizer});
  }
  return parts;
}

std::string format_head(const SnapshotHead& head) {
  std::string text =
      concat(head.name.layer.value, " ", head.name.expert.value, " ", head.epoch, " ", head.version);
  head.applied.append_to(text);
  return text;
}

// Takes the next number off the text.
template <class T>
bool read_number(std::string_view& text, T* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (text.empty()) return true;
  if (text.front() != ' ') return false;
  text.remove_prefix(1);
  return !text.empty();
}

// All its digits, so that who goes on with it takes the very steps.
std::string format_rate(float rate) {
  char digits[32];
  return {digits, std::to_chars(digits, digits + sizeof digits, rate).ptr};
}

StatusOr<float> read_rate(std::string_view text) {
  float rate = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rate);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (whole && std::isfinite(rate) && rate >= 0) return rate;
  return absl::InvalidArgumentError(
      concat("snapshot: ", kRateKey, " must be a number of 0 or more, it is ", base::in_quotes(text)));
}

StatusOr<SnapshotHead> read_head(std::string_view text) {
  SnapshotHead head;
  const bool ok = read_number(text, &head.name.layer.value) && read_number(text, &head.name.expert.value) &&
                  read_number(text, &head.epoch) && read_number(text, &head.version) &&
                  head.name.layer.value >= 0 && head.name.expert.value >= 0;
  if (!ok) {
    return absl::InvalidArgumentError(
        concat("snapshot: its head must be LAYER EXPERT EPOCH VERSION [UPDATES], it goes on with ",
               base::in_quotes(text)));
  }
  AGORA_ASSIGN_OR_RETURN(head.applied, AppliedUpdates::read(text, kAppliedLimits));
  return head;
}

}  // namespace

int64_t snapshot_bytes_max(const moe::ExpertShape& shape) {
  const int64_t hidden = std::max<int64_t>(shape.h, shape.d);
  return kHeaderBytesMax + 3 * int64_t{sizeof(float)} * (3 * shape.d * hidden + shape.d + hidden);
}

std::string snapshot_key(ExpertName expert) { return concat(expert.layer.value, " ", expert.expert.value); }

std::string last_snapshot_key(ExpertName expert) { return concat(kLast, snapshot_key(expert)); }

StatusOr<SnapshotKey> read_snapshot_key(std::string_view key) {
  const bool last = key.starts_with(kLast);
  if (last) key.remove_prefix(kLast.size());
  ExpertName name;
  if (read_number(key, &name.layer.value) && read_number(key, &name.expert.value) && key.empty() &&
      name.layer.value >= 0 && name.expert.value >= 0) {
    return SnapshotKey{name, last};
  }
  return absl::InvalidArgumentError("a snapshot is asked for by LAYER EXPERT, last LAYER EXPERT, or heads");
}

StatusOr<std::vector<std::byte>> write_snapshot(const SnapshotHead& head, moe::Expert& expert) {
  std::vector<weights::TensorSpec> specs;
  std::vector<std::span<const float>> values;
  for (const Part& part : parts_of(expert)) {
    specs.push_back({part.name, weights::DType::f32, {part.values.rows, part.values.cols}});
    values.push_back(part.values.flat());
  }
  weights::Metadata metadata{{std::string(kHeadKey), format_head(head)}};
  if (head.learning_rate >= 0) metadata[kRateKey] = format_rate(head.learning_rate);
  return weights::safetensors_bytes(specs, values, metadata);
}

StatusOr<Snapshot> Snapshot::open(base::Bytes bytes) {
  Snapshot snapshot;
  AGORA_ASSIGN_OR_RETURN(snapshot.file_, weights::SafetensorsFile::parse(bytes, "snapshot"));
  if (!snapshot.file_->has_hashes()) return absl::InvalidArgumentError("snapshot: it has no hashes");
  AGORA_RETURN_IF_ERROR(snapshot.file_->verify());
  const weights::Metadata& metadata = snapshot.file_->metadata();
  const auto head = metadata.find(std::string(kHeadKey));
  if (head == metadata.end()) return absl::InvalidArgumentError("snapshot: a file without a snapshot's head");
  AGORA_ASSIGN_OR_RETURN(snapshot.head_, read_head(head->second));
  if (const auto rate = metadata.find(kRateKey); rate != metadata.end()) {
    AGORA_ASSIGN_OR_RETURN(snapshot.head_.learning_rate, read_rate(rate->second));
  }
  return snapshot;
}

Status Snapshot::load(moe::Expert& expert) const {
  std::vector<Buffer<float>> loaded;
  const std::vector<Part> parts = parts_of(expert);
  for (const Part& part : parts) {
    const weights::TensorRef* tensor = file_->find(part.name);
    const std::vector<int64_t> shape{part.values.rows, part.values.cols};
    if (tensor == nullptr || tensor->shape != shape || tensor->dtype != weights::DType::f32) {
      return absl::InvalidArgumentError(concat("snapshot: expected ", part.name, " of shape ",
                                               base::listed(shape), " in f32, it has ",
                                               tensor == nullptr ? "none" : base::listed(tensor->shape)));
    }
    loaded.push_back(Buffer<float>::uninitialised(shape[0], shape[1], part.purpose));
    AGORA_RETURN_IF_ERROR(weights::read_f32(*tensor, loaded.back().view()));
    const std::span<const float> values = loaded.back().flat();
    if (part.name.ends_with(kSecond) && std::ranges::any_of(values, [](float v) { return v < 0; })) {
      return absl::InvalidArgumentError(concat("snapshot: ", part.name, " holds a negative square"));
    }
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    std::ranges::copy(loaded[i].flat(), parts[i].values.flat().begin());
  }
  return absl::OkStatus();
}

}  // namespace agora::swarm
