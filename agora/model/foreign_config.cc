#include "agora/model/foreign_config.h"

#include <algorithm>

#include "agora/base/text.h"
#include <nlohmann/json.hpp>

namespace agora::model {

using base::concat;

namespace {

using Json = nlohmann::json;

constexpr int64_t kWindowUnsaid = 4096;  // Hugging Face's, where use_sliding_window comes without a size

Json value_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? Json() : *found;
}

Status refuse(const std::string& where, const char* key, const std::string& expected, const Json& found) {
  return absl::InvalidArgumentError(concat(where, ": key \"", key, "\": expected ", expected,
                                           ", for models here have nothing else, found ",
                                           found.dump().substr(0, 80)));
}

// Nothing, or this.
Status expect_only(const Json& object, const char* key, const Json& expected, const std::string& where) {
  const Json found = value_at(object, key);
  if (found.is_null() || found == expected) return absl::OkStatus();
  return refuse(where, key, expected.dump(), found);
}

Status check_rope(const Json& config, const char* key, const std::string& where) {
  const Json rope = value_at(config, key);
  if (rope.is_null()) return absl::OkStatus();
  const auto nested = [](const Json& value) { return value.is_object(); };  // settings by kind of layer
  if (!rope.is_object() || std::ranges::any_of(rope, nested))
    return refuse(where, key, "one object for all layers", rope);
  const std::string inside = concat(where, ": ", key);
  for (const char* type : {"rope_type", "type"})
    AGORA_RETURN_IF_ERROR(expect_only(rope, type, "default", inside));
  AGORA_RETURN_IF_ERROR(expect_only(rope, "factor", 1, inside));
  return expect_only(rope, "partial_rotary_factor", 1, inside);
}

// A window is none where it is as long as the longest sequence.
Status check_window(const Json& config, const std::string& where) {
  const Json used = value_at(config, "use_sliding_window");
  if (used.is_null() || used == false) return absl::OkStatus();
  const Json window = config.contains("sliding_window") ? config["sliding_window"] : Json(kWindowUnsaid);
  const Json longest = value_at(config, "max_position_embeddings");
  if (window.is_null() || (window.is_number() && longest.is_number() && window >= longest))
    return absl::OkStatus();
  return refuse(where, "use_sliding_window", "false", used);
}

Status check_layers(const Json& config, const std::string& where) {
  AGORA_RETURN_IF_ERROR(expect_only(config, "decoder_sparse_step", 1, where));
  AGORA_RETURN_IF_ERROR(expect_only(config, "mlp_only_layers", Json::array(), where));
  for (const Json& kind : value_at(config, "layer_types")) {
    if (kind != "full_attention") return refuse(where, "layer_types", "full_attention", kind);
  }
  return absl::OkStatus();
}

}  // namespace

Status check_foreign_keys(const Json& config, const std::string& where) {
  for (const char* key : kRopeKeys) AGORA_RETURN_IF_ERROR(check_rope(config, key, where));
  AGORA_RETURN_IF_ERROR(expect_only(config, "partial_rotary_factor", 1, where));
  AGORA_RETURN_IF_ERROR(check_window(config, where));
  AGORA_RETURN_IF_ERROR(check_layers(config, where));
  return expect_only(config, "quantization_config", Json(), where);
}

}  // namespace agora::model
