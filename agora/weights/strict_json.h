// JSON from foreign bytes: size, depth and duplicate keys are checked, and no exception leaves.
//
//   AGORA_ASSIGN_OR_RETURN(nlohmann::json config, parse_json(text, path, kConfigLimits));
//
// Any thread.
#pragma once

#include <string>
#include <string_view>

#include "agora/base/result.h"

#include "nlohmann/json.hpp"

namespace agora::weights {

struct JsonLimits {
  int64_t bytes_max = 16'000'000;
  int depth_max = 32;
};

// `file` is for messages. An error names file and byte.
StatusOr<nlohmann::json> parse_json(std::string_view text, const std::string& file,
                                    const JsonLimits& limits = {});

}  // namespace agora::weights
