// What the gates did with each token of a text, as JSON: `agora explain --json`, and what servers answer.
//
//   json["text"] = trace_json(trace);
//   AGORA_ASSIGN_OR_RETURN(std::vector<model::TokenTrace> trace, read_trace_json(json["text"]));
//
// A token's bytes that are no UTF-8 stand as U+FFFD, and whole in "token_hex". Any thread (values).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agora/base/result.h"
#include "agora/model/token_trace.h"

#include "nlohmann/json.hpp"

namespace agora::serve {

using Json = nlohmann::ordered_json;

Json trace_json(const std::vector<model::TokenTrace>& trace);

// Every token has the layers of the first. InvalidArgument names the key and the token.
StatusOr<std::vector<model::TokenTrace>> read_trace_json(const nlohmann::json& json);

// Bytes as a JSON string, each byte that is no UTF-8 as U+FFFD.
std::string json_text(std::string_view bytes);
// {"token": ..., "token_hex": ...}
Json token_json(std::string_view bytes);

}  // namespace agora::serve
