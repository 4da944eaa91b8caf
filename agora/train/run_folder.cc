#include "agora/train/run_folder.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "agora/weights/atomic_file.h"
#include "agora/weights/safetensors.h"
#include "agora/weights/strict_json.h"
#include <nlohmann/json.hpp>

namespace agora::train {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kStateFile = "/training_state.json";
constexpr const char* kOptimizerFile = "/optimizer.safetensors";
constexpr int64_t kStateBytesMax = 1 << 20;

std::string first_name(const tensor::Parameter& p) { return "first:" + p.name; }
std::string second_name(const tensor::Parameter& p) { return "second:" + p.name; }

Json format_state(const TrainState& state) {
  Json options;
  for_each_option(state.options,
                  [&](const char* name, const auto& field, const char*) { options[name] = field; });
  return Json{{"step", state.step},
              {"steps", state.steps},
              {"seconds", state.seconds},
              {"data_cursor", {state.cursor.state, state.cursor.increment}},
              {"data_fingerprint", state.fingerprint},
              {"options", options}};
}

// Throws nlohmann's exceptions where a key is absent or of another type; the caller turns them into a Status.
TrainState parse_state(const nlohmann::json& json) {
  TrainState state;
  json.at("step").get_to(state.step);
  json.at("steps").get_to(state.steps);
  json.at("seconds").get_to(state.seconds);
  state.cursor.state = json.at("data_cursor").at(0).get<uint64_t>();
  state.cursor.increment = json.at("data_cursor").at(1).get<uint64_t>();
  json.at("data_fingerprint").get_to(state.fingerprint);
  const nlohmann::json& options = json.at("options");
  for_each_option(state.options, [&](const char* name, auto& field, const char*) {
    if (options.contains(name)) options.at(name).get_to(field);
  });
  return state;
}

Status save_optimizer(model::LocalModel& model, const std::string& dir) {
  std::vector<weights::TensorSpec> specs;
  const std::vector<tensor::Parameter*> parameters = model.parameters();
  for (const tensor::Parameter* p : parameters) {
    const std::vector<int64_t> shape{p->value.rows(), p->value.cols()};
    specs.push_back({first_name(*p), tensor::DType::f32, shape});
    specs.push_back({second_name(*p), tensor::DType::f32, shape});
  }
  AGORA_ASSIGN_OR_RETURN(auto writer, weights::SafetensorsWriter::create(dir + kOptimizerFile, specs));
  for (const tensor::Parameter* p : parameters) {
    AGORA_RETURN_IF_ERROR(writer->add(first_name(*p), p->first.view()));
    AGORA_RETURN_IF_ERROR(writer->add(second_name(*p), p->second.view()));
  }
  return writer->finish();
}

Status load_moment(const weights::SafetensorsFile& file, const std::string& name,
                   tensor::Buffer<float>& moment) {
  const weights::TensorRef* tensor = file.find(name);
  if (tensor == nullptr) {
    return absl::DataLossError(absl::StrCat(file.path(), ": expected the tensor ", name, ", found none"));
  }
  return weights::read_f32(*tensor, moment.view());
}

}  // namespace

Status save_run(const TrainState& state, model::LocalModel& model, const std::string& dir) {
  AGORA_ASSIGN_OR_RETURN(auto folder, weights::AtomicFolder::create(dir));
  AGORA_RETURN_IF_ERROR(model::save_model(model, folder->path()));
  AGORA_RETURN_IF_ERROR(save_optimizer(model, folder->path()));
  AGORA_RETURN_IF_ERROR(
      weights::write_file_atomic(folder->path() + kStateFile, format_state(state).dump(2) + "\n"));
  return folder->commit();
}

StatusOr<TrainState> read_run_state(const std::string& dir) {
  if (!std::filesystem::exists(dir + kStateFile)) {
    return absl::NotFoundError(
        absl::StrCat(dir, ": expected the folder of a training run (training_state.json), found ",
                     std::filesystem::exists(dir) ? "another kind of folder" : "nothing there"));
  }
  AGORA_ASSIGN_OR_RETURN(const std::string text, weights::read_file(dir + kStateFile, kStateBytesMax));
  AGORA_ASSIGN_OR_RETURN(const nlohmann::json json, weights::parse_json(text, dir + kStateFile));
  try {
    TrainState state = parse_state(json);
    AGORA_RETURN_IF_ERROR(validate(state.options));
    return state;
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(dir, kStateFile, ": expected a state that agora wrote, found ", error.what()));
  }
}

StatusOr<model::LocalModel> load_run(const std::string& dir, const kernels::Compute& compute) {
  AGORA_ASSIGN_OR_RETURN(model::LocalModel model, model::load_model(dir, compute, tensor::Train::yes));
  AGORA_ASSIGN_OR_RETURN(const auto file, weights::SafetensorsFile::open(dir + kOptimizerFile));
  AGORA_RETURN_IF_ERROR(file->verify());
  for (tensor::Parameter* p : model.parameters()) {
    AGORA_RETURN_IF_ERROR(load_moment(*file, first_name(*p), p->first));
    AGORA_RETURN_IF_ERROR(load_moment(*file, second_name(*p), p->second));
  }
  return model;
}

}  // namespace agora::train
