#include "agora/model/model_folder.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string_view>
#include <unordered_set>

#include "absl/strings/str_cat.h"
#include "agora/base/text.h"
#include "agora/weights/atomic_file.h"
#include "agora/weights/weight_folder.h"

namespace agora::model {
namespace {

moe::LocalExpertsConfig experts_config(const ModelConfig& config, Train train, int64_t parts) {
  moe::LocalExpertsConfig experts;
  experts.layers = config.num_hidden_layers;
  experts.experts = config.gate.experts;
  experts.shape = expert_shape(config);
  experts.train = train;
  experts.parts = parts;
  // A pass has a ticket of every layer open before its backward begins.
  experts.tickets_max = std::max(experts.tickets_max, config.num_hidden_layers);
  return experts;
}

StatusOr<LocalModel> make_empty(const ModelConfig& config, const Compute& compute, Train train,
                                int64_t parts) {
  AGORA_RETURN_IF_ERROR(validate(config));
  LocalModel model;
  AGORA_ASSIGN_OR_RETURN(model.experts,
                         moe::LocalExperts::create(compute, experts_config(config, train, parts)));
  AGORA_ASSIGN_OR_RETURN(model.model, Model::create(config, *model.experts, train));
  return model;
}

}  // namespace

moe::ExpertShape expert_shape(const ModelConfig& config) {
  return {.activation = config.activation,
          .d = config.hidden_size,
          .h = config.moe_intermediate_size,
          .biases = false,
          .deviation = config.initializer_range,
          .deviation_down = config.residual_deviation()};
}

StatusOr<ModelConfig> config_among(const std::map<std::string, std::string>& files, int64_t layers,
                                   int64_t experts) {
  const auto file = files.find(kConfigFile);
  if (file == files.end()) {
    return absl::InvalidArgumentError("the swarm's specification: expected a file config.json in it");
  }
  AGORA_ASSIGN_OR_RETURN(ModelConfig config, parse_config(file->second, "the swarm's config.json"));
  if (config.num_hidden_layers != layers || config.gate.experts != experts) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the swarm's specification: expected ", layers, " layers of ", experts,
        " experts in its config.json, found ", config.num_hidden_layers, " of ", config.gate.experts));
  }
  return config;
}

void LocalModel::repack(const Compute& compute) {
  model->repack(compute);
  experts->repack();
}

std::vector<tensor::ParameterView> LocalModel::parameters() {
  std::vector<tensor::ParameterView> all = tensor::views_of(model->parameters());
  std::ranges::move(experts->parameters(), std::back_inserter(all));
  return all;
}

std::vector<tensor::ParameterView> LocalModel::tensors() {
  std::vector<tensor::ParameterView> all = parameters();
  for (tensor::Parameter* bias : model->selection_biases()) all.emplace_back(*bias);
  return all;
}

StatusOr<LocalModel> make_model(const ModelConfig& config, const Compute& compute, Train train,
                                const Rng& rng, int64_t parts) {
  AGORA_ASSIGN_OR_RETURN(LocalModel model, make_empty(config, compute, train, parts));
  model.model->initialise(rng);
  model.experts->initialise(rng);
  model.repack(compute);
  return model;
}

// Before memory is taken for what a config of a few lines may claim.
Status check_size(const ModelConfig& config, const weights::WeightFolder& files, const std::string& dir) {
  int64_t numbers = 0;
  for (const weights::TensorRef* tensor : files.tensors()) numbers += tensor->count();
  if (config.parameters() <= numbers) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(dir, ": expected the ", config.parameters(),
                                                 " numbers of which its config.json tells, found ", numbers,
                                                 " in its files"));
}

// What other programs leave in their files, and nobody reads.
bool is_harmless(std::string_view tensor, const ModelConfig& config) {
  return tensor.ends_with(".rotary_emb.inv_freq") ||
         (config.tie_word_embeddings && tensor == "lm_head.weight");
}

// A bias or a scale that the model has no place for would be missed in every answer.
Status check_all_used(LocalModel& model, const weights::WeightFolder& files, const std::string& dir) {
  std::unordered_set<std::string_view> used;
  const std::vector<tensor::ParameterView> places = model.tensors();
  for (const tensor::ParameterView& place : places) used.insert(place.name);
  std::string first;
  int64_t more = 0;
  for (const weights::TensorRef* tensor : files.tensors()) {
    if (used.contains(tensor->name) || is_harmless(tensor->name, model.config())) continue;
    if (more++ == 0) first = tensor->name;
  }
  if (more == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      base::concat(dir, ": expected the tensors of which its config.json tells, found ", more,
                   " more, the first is ", base::in_quotes(first), ": models here have no place for it"));
}

StatusOr<LocalModel> load_model(const std::string& dir, const Compute& compute, Train train) {
  if (!std::filesystem::exists(dir + "/" + kConfigFile)) {
    return absl::NotFoundError(
        absl::StrCat(dir, ": expected a model folder (config.json, model.safetensors), found ",
                     std::filesystem::exists(dir) ? "no config.json in it" : "nothing there"));
  }
  AGORA_ASSIGN_OR_RETURN(const ModelConfig config, read_config(dir + "/" + kConfigFile));
  AGORA_ASSIGN_OR_RETURN(const auto files, weights::WeightFolder::open(dir));
  AGORA_RETURN_IF_ERROR(check_size(config, *files, dir));
  AGORA_RETURN_IF_ERROR(files->verify());
  AGORA_ASSIGN_OR_RETURN(LocalModel model, make_empty(config, compute, train, 1));
  AGORA_RETURN_IF_ERROR(check_all_used(model, *files, dir));
  for (const tensor::ParameterView& parameter : model.tensors()) {
    AGORA_ASSIGN_OR_RETURN(const weights::TensorRef* tensor, files->need(parameter.name));
    AGORA_RETURN_IF_ERROR(weights::read_f32(*tensor, parameter.value));
  }
  model.repack(compute);
  if (config.frontend == FrontendKind::text) {
    AGORA_ASSIGN_OR_RETURN(model.tokenizer, Tokenizer::load(dir));
  }
  return model;
}

Status save_model(LocalModel& model, const std::string& dir) {
  AGORA_RETURN_IF_ERROR(weights::write_file_atomic(dir + "/" + kConfigFile, format_config(model.config())));
  std::vector<weights::TensorSpec> specs;
  const std::vector<tensor::ParameterView> tensors = model.tensors();
  for (const tensor::ParameterView& p : tensors) {
    std::vector<int64_t> shape{p.value.cols};
    if (p.rank == 2) shape.insert(shape.begin(), p.value.rows);
    specs.push_back({p.name, tensor::DType::f32, shape});
  }
  AGORA_ASSIGN_OR_RETURN(auto writer, weights::WeightFolderWriter::create(dir, specs, weights::kShardBytesMax,
                                                                          {{"format", "pt"}}));
  for (const tensor::ParameterView& p : tensors) AGORA_RETURN_IF_ERROR(writer->add(p.name, p.value));
  AGORA_RETURN_IF_ERROR(writer->finish());
  return model.tokenizer == nullptr ? absl::OkStatus() : model.tokenizer->save(dir);
}

}  // namespace agora::model
