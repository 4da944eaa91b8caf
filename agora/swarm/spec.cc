#include "agora/swarm/spec.h"

#include <bit>
#include <cmath>
#include <limits>

#include "agora/base/text.h"
#include "agora/weights/hash.h"

namespace agora::swarm {
namespace {

using base::concat;

constexpr std::string_view kOpening = "agora swarm 1\n";
constexpr size_t kNameMax = 100;  // of the swarm and of a file
constexpr size_t kFilesMax = 64;
constexpr size_t kRecipeMax = 1 << 20;
constexpr int64_t kLayersMax = 4096;
constexpr int64_t kExpertsMax = 65536;  // of a layer
constexpr int64_t kAllExpertsMax = 1 << 22;

// Both ways through the same list of fields, so that they can not differ.
class Writer {
 public:
  template <std::integral T>
  void field(T value) {
    const auto bits = static_cast<uint64_t>(value);
    for (size_t i = 0; i < 8; ++i) bytes_ += static_cast<char>(bits >> (8 * i));
  }
  template <class T>
  requires std::is_enum_v<T>
  void field(T value) { field(static_cast<uint64_t>(value)); }
  void field(double value) { field(std::bit_cast<uint64_t>(value)); }
  void field(float value) { field(std::bit_cast<uint32_t>(value)); }
  void field(const std::string& text) {
    field(text.size());
    bytes_ += text;
  }
  void field(const std::map<std::string, std::string>& files) {
    field(files.size());
    for (const auto& [name, content] : files) {
      field(name);
      field(content);
    }
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_{kOpening};
};

// After the first field that does not fit, ok() is false and the rest is left alone.
class Reader {
 public:
  explicit Reader(base::Bytes bytes) : in_(bytes) {
    base::Bytes opening;
    ok_ = in_.take(kOpening.size(), &opening) && base::as_text(opening) == kOpening;
  }
  bool ok() const { return ok_; }
  bool ended() const { return in_.remaining() == 0; }

  template <std::integral T>
  void field(T& value) {
    const uint64_t bits = word();
    value = static_cast<T>(bits);
    ok_ = ok_ && static_cast<uint64_t>(value) == bits;
  }
  template <class T>
  requires std::is_enum_v<T>
  void field(T& value) {
    auto number = static_cast<std::underlying_type_t<T>>(value);
    field(number);
    value = static_cast<T>(number);
  }
  void field(double& value) { value = std::bit_cast<double>(word()); }
  void field(float& value) {
    uint32_t bits = 0;
    field(bits);
    value = std::bit_cast<float>(bits);
  }
  void field(std::string& text) {
    base::Bytes bytes;
    ok_ = in_.take(word(), &bytes) && ok_;
    if (ok_) text = base::as_text(bytes);
  }
  void field(std::map<std::string, std::string>& files) {
    const uint64_t count = word();
    ok_ = ok_ && count <= kFilesMax;
    for (uint64_t i = 0; ok_ && i < count; ++i) {
      std::string name;
      field(name);
      field(files[name]);
    }
  }

 private:
  uint64_t word() {
    uint64_t value = 0;
    ok_ = ok_ && in_.read_le(&value);
    return value;
  }

  base::ByteReader in_;
  bool ok_;
};

template <class Codec, class Spec>
void fields(Codec& codec, Spec& spec) {
  codec.field(spec.name);
  codec.field(spec.files);
  codec.field(spec.recipe);
  codec.field(spec.layers);
  codec.field(spec.experts);
  codec.field(spec.experts_max);
  codec.field(spec.shape.activation);
  codec.field(spec.shape.d);
  codec.field(spec.shape.h);
  codec.field(spec.shape.biases);
  codec.field(spec.shape.deviation);
  codec.field(spec.shape.deviation_down);
  codec.field(spec.bf16);
  codec.field(spec.seed);
  codec.field(spec.updates);
  codec.field(spec.replicas);
  codec.field(spec.loss_window_s);
  codec.field(spec.step.step);
  codec.field(spec.step.learning_rate);
  codec.field(spec.step.beta1);
  codec.field(spec.step.beta2);
  codec.field(spec.step.epsilon);
  codec.field(spec.step.weight_decay);
  codec.field(spec.step.gradient_norm_max);
  codec.field(spec.rows_per_step);
  codec.field(spec.step_seconds_max);
  codec.field(spec.age_max);
  codec.field(spec.gradient_norm_limit);
}

// Refuses NaN too.
template <class T>
Status in_range(std::string_view field, T value, T least, T most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      concat("swarm specification: ", field, " must be ", least, " to ", most, ", it is ", value));
}

Status check_names(const SwarmSpec& spec) {
  if (spec.name.empty() || spec.name.size() > kNameMax) {
    return absl::InvalidArgumentError(
        concat("swarm specification: name must have 1 to ", kNameMax, " bytes, it has ", spec.name.size()));
  }
  AGORA_RETURN_IF_ERROR(in_range("number of files", spec.files.size(), size_t{0}, kFilesMax));
  AGORA_RETURN_IF_ERROR(in_range("size of recipe", spec.recipe.size(), size_t{0}, kRecipeMax));
  for (const auto& [name, content] : spec.files) {
    // It is written into a folder of the peer's: it must stay there.
    const bool plain = !name.empty() && name.size() <= kNameMax && name.front() != '.' &&
                       name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
    if (plain) continue;
    return absl::InvalidArgumentError(
        concat("swarm specification: ", base::in_quotes(name), " is not a plain file name"));
  }
  return absl::OkStatus();
}

Status check_step(const moe::StepSettings& step) {
  AGORA_RETURN_IF_ERROR(in_range("learning_rate", step.learning_rate, 0.0f, 1e3f));
  AGORA_RETURN_IF_ERROR(in_range("beta1", step.beta1, 0.0f, 0.999999f));
  AGORA_RETURN_IF_ERROR(in_range("beta2", step.beta2, 0.0f, 0.999999f));
  AGORA_RETURN_IF_ERROR(in_range("epsilon", step.epsilon, 1e-30f, 1.0f));
  AGORA_RETURN_IF_ERROR(in_range("weight_decay", step.weight_decay, 0.0f, 1e3f));
  return in_range("gradient_norm_max", step.gradient_norm_max, 0.0f, 1e30f);
}

}  // namespace

std::string SwarmSpec::bytes() const {
  Writer writer;
  fields(writer, *this);
  return writer.take();
}

peers::SwarmId SwarmSpec::id() const {
  const std::string text = bytes();
  const weights::Digest digest = weights::sha256(base::as_bytes(text));
  return std::bit_cast<peers::SwarmId>(digest);
}

Status validate(const SwarmSpec& spec) {
  AGORA_RETURN_IF_ERROR(check_names(spec));
  AGORA_RETURN_IF_ERROR(in_range("layers", spec.layers, int64_t{1}, kLayersMax));
  AGORA_RETURN_IF_ERROR(in_range("experts_max", spec.experts_max, int64_t{1}, kExpertsMax));
  AGORA_RETURN_IF_ERROR(in_range("experts", spec.experts, int64_t{1}, spec.experts_max));
  AGORA_RETURN_IF_ERROR(
      in_range("layers * experts_max", spec.layers * spec.experts_max, int64_t{1}, kAllExpertsMax));
  if (spec.shape.activation > kernels::Activation::linear) {
    return absl::InvalidArgumentError("swarm specification: the experts' activation is unknown");
  }
  AGORA_RETURN_IF_ERROR(moe::validate(spec.shape));
  AGORA_RETURN_IF_ERROR(in_range("updates", static_cast<int>(spec.updates), 0, 1));
  AGORA_RETURN_IF_ERROR(in_range("replicas", spec.replicas, 1, 64));
  AGORA_RETURN_IF_ERROR(in_range("loss_window_s", spec.loss_window_s, 0.1, 86400.0));
  AGORA_RETURN_IF_ERROR(check_step(spec.step));
  AGORA_RETURN_IF_ERROR(in_range("rows_per_step", spec.rows_per_step, int64_t{1}, int64_t{1} << 40));
  AGORA_RETURN_IF_ERROR(in_range("step_seconds_max", spec.step_seconds_max, 0.001, 86400.0));
  AGORA_RETURN_IF_ERROR(in_range("age_max", spec.age_max, int64_t{0}, int64_t{1} << 40));
  return in_range("gradient_norm_limit", spec.gradient_norm_limit, 0.0, 1e30);
}

StatusOr<SwarmSpec> read_spec(base::Bytes bytes) {
  if (bytes.size() > kSpecBytesMax) {
    return absl::InvalidArgumentError(
        concat("swarm specification: expected at most ", kSpecBytesMax, " bytes, got ", bytes.size()));
  }
  Reader reader(bytes);
  SwarmSpec spec;
  fields(reader, spec);
  if (!reader.ok() || !reader.ended()) {
    return absl::InvalidArgumentError(
        "swarm specification: these bytes are none, or of a program of another version");
  }
  AGORA_RETURN_IF_ERROR(validate(spec));
  if (spec.bytes() != base::as_text(bytes)) {
    return absl::InvalidArgumentError("swarm specification: its files do not stand in order, each once");
  }
  return spec;
}

}  // namespace agora::swarm
