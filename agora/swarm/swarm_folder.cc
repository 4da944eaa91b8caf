#include "agora/swarm/swarm_folder.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "agora/base/text.h"
#include "agora/swarm/host/snapshot.h"
#include "agora/swarm/peer_state.h"
#include "agora/weights/atomic_file.h"
#include "agora/weights/strict_json.h"
#include <nlohmann/json.hpp>

namespace agora::swarm {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kManifestBytesMax = 16'000'000;  // some 100,000 experts

Json json_of(const TrunkVersion& version) {
  return {{"round", version.round},
          {"rows", version.rows},
          {"contributors", version.contributors},
          {"decider", version.decider.text()}};
}

// A layer's or an expert's number; what the specification has room for its reader sees to.
StatusOr<int32_t> number_of(const nlohmann::json& object, const char* key) {
  const nlohmann::json& value = object.at(key);
  if (value.is_number_unsigned() && value.get<uint64_t>() < uint64_t{kExpertNumberMax}) {
    return value.get<int32_t>();
  }
  return absl::InvalidArgumentError(absl::StrCat("expected \"", key, "\" to be a number from 0 to ",
                                                 kExpertNumberMax - 1, ", found ",
                                                 value.dump().substr(0, 80)));
}

StatusOr<ExpertName> name_in(const nlohmann::json& object) {
  AGORA_ASSIGN_OR_RETURN(const int32_t layer, number_of(object, "layer"));
  AGORA_ASSIGN_OR_RETURN(const int32_t expert, number_of(object, "expert"));
  return ExpertName{LayerId(layer), ExpertId(expert)};
}

// Throws nlohmann's exceptions where a key is absent or of another type; the caller turns them into a Status.
StatusOr<Manifest> parse_manifest(const nlohmann::json& json) {
  Manifest manifest;
  json.at("swarm").get_to(manifest.swarm);
  json.at("step").get_to(manifest.step);
  const nlohmann::json& trunk = json.at("trunk");
  trunk.at("round").get_to(manifest.trunk.round);
  manifest.trunk.rows = trunk.value("rows", uint64_t{0});  // a folder of before does not say
  trunk.at("contributors").get_to(manifest.trunk.contributors);
  AGORA_ASSIGN_OR_RETURN(manifest.trunk.decider,
                         peers::parse_peer_id(trunk.at("decider").get<std::string>()));
  for (const nlohmann::json& e : json.at("experts")) {
    ManifestExpert expert;
    AGORA_ASSIGN_OR_RETURN(expert.name, name_in(e));
    e.at("epoch").get_to(expert.epoch);
    e.at("version").get_to(expert.version);
    e.at("sha256").get_to(expert.sha256);
    expert.learning_rate = e.value("learning_rate", expert.learning_rate);  // likewise
    if (!std::isfinite(expert.learning_rate)) {
      return absl::InvalidArgumentError("expected \"learning_rate\" to be a finite number");
    }
    expert.saved_as = expert.name.expert;
    if (e.contains("saved_as")) {
      AGORA_ASSIGN_OR_RETURN(const int32_t saved_as, number_of(e, "saved_as"));
      expert.saved_as = ExpertId(saved_as);
    }
    manifest.experts.push_back(std::move(expert));
  }
  std::ranges::sort(manifest.experts, {}, &ManifestExpert::name);
  for (const nlohmann::json& e : json.value("retired", nlohmann::json::array())) {
    AGORA_ASSIGN_OR_RETURN(const ExpertName retired, name_in(e));
    manifest.retired.push_back(retired);
  }
  for (const auto& [trainer, cursor] : json.at("data_cursors").items()) {
    manifest.cursors[trainer] = {cursor.at(0).get<uint64_t>(), cursor.at(1).get<uint64_t>()};
  }
  return manifest;
}

// From the model's weights or the optimizer's moments, checked against the hash that was written beside it.
template <class Tensors>
Status read_into(const Tensors& from, const std::string& name, tensor::View<float> to) {
  const weights::TensorRef* tensor = from.find(name);
  if (tensor == nullptr)
    return absl::DataLossError(absl::StrCat("expected the tensor ", name, ", found none"));
  AGORA_RETURN_IF_ERROR(from.verify(*tensor));
  return weights::read_f32(*tensor, to);
}

}  // namespace

std::string format_manifest(const Manifest& manifest) {
  Json json{{"swarm", manifest.swarm}, {"step", manifest.step}, {"trunk", json_of(manifest.trunk)}};
  json["data_cursors"] = Json::object();
  for (const auto& [trainer, cursor] : manifest.cursors) {
    json["data_cursors"][trainer] = {cursor.state, cursor.increment};
  }
  json["experts"] = Json::array();
  for (const ManifestExpert& e : manifest.experts) {
    json["experts"].push_back({{"layer", e.name.layer.value},
                               {"expert", e.name.expert.value},
                               {"version", e.version},
                               {"epoch", e.epoch},
                               {"sha256", e.sha256},
                               {"saved_as", e.saved_as.value}});
    if (e.learning_rate >= 0) json["experts"].back()["learning_rate"] = e.learning_rate;
  }
  json["retired"] = Json::array();
  for (const ExpertName& e : manifest.retired) {
    json["retired"].push_back({{"layer", e.layer.value}, {"expert", e.expert.value}});
  }
  return json.dump(1) + "\n";
}

StatusOr<Manifest> read_manifest(const std::string& dir) {
  const std::string file = dir + kManifestFile;
  if (!weights::file_exists(file)) {
    return absl::NotFoundError(absl::StrCat(dir, ": expected a swarm's folder (manifest.json), found none"));
  }
  AGORA_ASSIGN_OR_RETURN(const std::string text, weights::read_file(file, kManifestBytesMax));
  AGORA_ASSIGN_OR_RETURN(const nlohmann::json json, weights::parse_json(text, file));
  try {
    StatusOr<Manifest> manifest = parse_manifest(json);
    if (!manifest.ok()) return base::about(file, manifest.status());
    return manifest;
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": expected a manifest that agora wrote, found ", error.what()));
  }
}

std::string expert_path(ExpertName expert) {
  return absl::StrCat("model.layers.", expert.layer.value, ".mlp.experts.", expert.expert.value);
}

std::string first_moment(const std::string& parameter) { return "first:" + parameter; }
std::string second_moment(const std::string& parameter) { return "second:" + parameter; }

StatusOr<std::unique_ptr<SwarmFolder>> SwarmFolder::open(const std::string& dir, const SwarmSpec& spec) {
  AGORA_ASSIGN_OR_RETURN(Manifest manifest, read_manifest(dir));
  for (const ManifestExpert& expert : manifest.experts) {
    if (expert.name.layer.value >= 0 && expert.name.layer.value < spec.layers &&
        expert.name.expert.value >= 0 &&
        expert.name.expert.value < std::max(spec.experts, spec.experts_max)) {
      continue;
    }
    return absl::FailedPreconditionError(absl::StrCat(dir, ": expected experts of ", spec.layers,
                                                      " layers with up to ", spec.experts_max,
                                                      " each, found ", expert_path(expert.name)));
  }
  auto folder = std::unique_ptr<SwarmFolder>(new SwarmFolder(std::move(manifest), spec));
  AGORA_ASSIGN_OR_RETURN(folder->model_, weights::WeightFolder::open(dir));
  AGORA_ASSIGN_OR_RETURN(folder->optimizer_, weights::SafetensorsFile::open(dir + kOptimizerFile));
  return folder;
}

StatusOr<std::vector<std::byte>> SwarmFolder::snapshot(ExpertName name) const {
  const auto found = std::ranges::lower_bound(manifest_.experts, name, {}, &ManifestExpert::name);
  if (found == manifest_.experts.end() || found->name != name) {
    return absl::NotFoundError(absl::StrCat(expert_path(name), " is not in the manifest"));
  }
  moe::Expert expert(shape_, tensor::Train::yes);
  for (const tensor::ParameterView& p : expert.parameters(expert_path({name.layer, found->saved_as}))) {
    AGORA_RETURN_IF_ERROR(read_into(*model_, p.name, p.value));
    for (const auto& [moment, to] :
         {std::pair{first_moment(p.name), p.first}, std::pair{second_moment(p.name), p.second}}) {
      AGORA_RETURN_IF_ERROR(read_into(*optimizer_, moment, to));
    }
  }
  return write_snapshot({.name = name,
                         .epoch = found->epoch,
                         .version = found->version,
                         .applied = {},
                         .learning_rate = found->learning_rate},
                        expert);
}

}  // namespace agora::swarm
