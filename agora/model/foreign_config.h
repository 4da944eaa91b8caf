// Keys of Hugging Face's Qwen3-MoE configs that ask for arithmetic which the trunk does not have.
//
//   AGORA_RETURN_IF_ERROR(check_foreign_keys(json, "config.json"));
//
// Without this a model that was stretched, windowed or quantised would load, and answer nonsense. Keys that
// only train or serve (attention_dropout, use_cache, ...) are passed over. Any thread.
#pragma once

#include <string>

#include "agora/base/result.h"
#include <nlohmann/json_fwd.hpp>

namespace agora::model {

// Where the settings of the rotary embedding stand, rope_theta among them: in older files, in newer ones.
constexpr const char* kRopeKeys[] = {"rope_scaling", "rope_parameters"};

// `config` is an object. InvalidArgument: names the key, what is expected there and what came.
Status check_foreign_keys(const nlohmann::json& config, const std::string& where);

}  // namespace agora::model
