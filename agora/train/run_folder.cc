#include "agora/train/run_folder.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "agora/swarm/swarm_folder.h"
#include "agora/weights/atomic_file.h"
#include "agora/weights/strict_json.h"
#include "agora/weights/weight_folder.h"
#include <nlohmann/json.hpp>

namespace agora::train {
namespace {

using swarm::first_moment;
using swarm::kOptimizerFile;
using swarm::second_moment;

using Json = nlohmann::ordered_json;

constexpr const char* kStateFile = "/training_state.json";
constexpr int64_t kStateBytesMax = 1 << 20;

Json format_state(const TrainState& state) {
  Json options;
  for_each_option(state.options,
                  [&](const char* name, const auto& field, const char*) { options[name] = field; });
  return Json{{"step", state.step},
              {"optimizer_steps", state.optimizer_steps},
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
  state.optimizer_steps = json.value("optimizer_steps", state.step);
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
  const std::vector<tensor::ParameterView> parameters = model.parameters();
  MomentsWriter moments;
  moments.announce(parameters);
  AGORA_RETURN_IF_ERROR(moments.open(dir));
  AGORA_RETURN_IF_ERROR(moments.add(parameters));
  return moments.finish();
}

Status load_moment(const weights::SafetensorsFile& file, const std::string& name,
                   tensor::View<float> moment) {
  const weights::TensorRef* tensor = file.find(name);
  if (tensor == nullptr) {
    return absl::DataLossError(absl::StrCat(file.path(), ": expected the tensor ", name, ", found none"));
  }
  AGORA_RETURN_IF_ERROR(file.verify(*tensor));
  return weights::read_f32(*tensor, moment);
}

Status load_moments(const weights::SafetensorsFile& file,
                    const std::vector<tensor::ParameterView>& parameters) {
  for (const tensor::ParameterView& p : parameters) {
    AGORA_RETURN_IF_ERROR(load_moment(file, first_moment(p.name), p.first));
    AGORA_RETURN_IF_ERROR(load_moment(file, second_moment(p.name), p.second));
  }
  return absl::OkStatus();
}

}  // namespace

void MomentsWriter::announce(const std::vector<tensor::ParameterView>& parameters) {
  for (const tensor::ParameterView& p : parameters) {
    for (const std::string& name : {first_moment(p.name), second_moment(p.name)}) {
      specs_.push_back({name, tensor::DType::f32, {p.value.rows, p.value.cols}});
    }
  }
}

Status MomentsWriter::open(const std::string& dir) {
  AGORA_ASSIGN_OR_RETURN(file_, weights::SafetensorsWriter::create(dir + kOptimizerFile, specs_));
  return absl::OkStatus();
}

Status MomentsWriter::add(const std::vector<tensor::ParameterView>& parameters) {
  for (const tensor::ParameterView& p : parameters) {
    AGORA_RETURN_IF_ERROR(file_->add(first_moment(p.name), p.first));
    AGORA_RETURN_IF_ERROR(file_->add(second_moment(p.name), p.second));
  }
  return absl::OkStatus();
}

// What is not UTF-8 is replaced: validate() lets no option be so, and a name is not worth a run.
std::string format_run_state(const TrainState& state) {
  return format_state(state).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

StatusOr<TrainState> parse_run_state(const std::string& text, const std::string& name) {
  AGORA_ASSIGN_OR_RETURN(const nlohmann::json json, weights::parse_json(text, name));
  try {
    TrainState state = parse_state(json);
    AGORA_RETURN_IF_ERROR(validate(state.options));
    return state;
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": expected a state that agora wrote, found ", error.what()));
  }
}

Status write_run_state(const TrainState& state, const std::string& dir) {
  return weights::write_file_atomic(dir + kStateFile, format_run_state(state));
}

Status save_run(const TrainState& state, model::LocalModel& model, const std::string& dir) {
  AGORA_ASSIGN_OR_RETURN(auto folder, weights::AtomicFolder::create(dir, kStateFile));
  AGORA_RETURN_IF_ERROR(model::save_model(model, folder->path()));
  AGORA_RETURN_IF_ERROR(save_optimizer(model, folder->path()));
  AGORA_RETURN_IF_ERROR(write_run_state(state, folder->path()));
  return folder->commit();
}

StatusOr<TrainState> read_run_state(const std::string& dir) {
  if (!std::filesystem::exists(dir + kStateFile)) {
    return absl::NotFoundError(
        absl::StrCat(dir, ": expected the folder of a training run (training_state.json), found ",
                     std::filesystem::exists(dir) ? "another kind of folder" : "nothing there"));
  }
  AGORA_ASSIGN_OR_RETURN(const std::string text, weights::read_file(dir + kStateFile, kStateBytesMax));
  return parse_run_state(text, dir + kStateFile);
}

StatusOr<model::LocalModel> load_run(const std::string& dir, const kernels::Compute& compute) {
  AGORA_ASSIGN_OR_RETURN(model::LocalModel model, model::load_model(dir, compute, tensor::Train::yes));
  AGORA_ASSIGN_OR_RETURN(const auto file, weights::SafetensorsFile::open(dir + kOptimizerFile));
  AGORA_RETURN_IF_ERROR(load_moments(*file, model.parameters()));
  return model;
}

Status load_tensors(const std::string& dir, const std::vector<tensor::Parameter*>& parameters,
                    const std::vector<tensor::Parameter*>& steered) {
  AGORA_ASSIGN_OR_RETURN(const auto files, weights::WeightFolder::open(dir));
  std::vector<tensor::Parameter*> tensors = parameters;
  tensors.insert(tensors.end(), steered.begin(), steered.end());
  for (tensor::Parameter* parameter : tensors) {
    AGORA_ASSIGN_OR_RETURN(const weights::TensorRef* tensor, files->need(parameter->name));
    AGORA_RETURN_IF_ERROR(files->verify(*tensor));
    AGORA_RETURN_IF_ERROR(weights::read_f32(*tensor, parameter->value.view()));
  }
  AGORA_ASSIGN_OR_RETURN(const auto moments, weights::SafetensorsFile::open(dir + kOptimizerFile));
  return load_moments(*moments, tensor::views_of(parameters));
}

}  // namespace agora::train
