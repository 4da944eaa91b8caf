#include "agora/serve/completions.h"

#include <cmath>

#include "agora/base/text.h"
#include "agora/serve/trace_json.h"
#include "agora/swarm/trace.h"
#include "agora/weights/strict_json.h"

namespace agora::serve {
namespace {

constexpr int64_t kTokensByDefault = 16;  // as OpenAI's

Status wrong(const char* key, const char* expected, const nlohmann::json& found) {
  constexpr size_t kShown = 60;
  std::string shown = found.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (shown.size() > kShown) shown = shown.substr(0, kShown) + "...";
  return absl::InvalidArgumentError(
      base::concat("key \"", key, "\": expected ", expected, ", found ", shown));
}

Status read_float(const nlohmann::json& json, const char* key, float* value) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return absl::OkStatus();
  if (!found->is_number()) return wrong(key, "a number", *found);
  *value = found->get<float>();
  return absl::OkStatus();
}

Status read_count(const nlohmann::json& json, const char* key, int64_t* value) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return absl::OkStatus();
  // As a double, so that a number of any size is compared, not cut.
  if (!found->is_number_integer() || found->get<double>() < 0 || found->get<double>() > 1e15) {
    return wrong(key, "a whole number from 0", *found);
  }
  *value = found->get<int64_t>();
  return absl::OkStatus();
}

Status read_stops(const nlohmann::json& json, std::vector<std::string>* stops) {
  const auto found = json.find("stop");
  if (found == json.end() || found->is_null()) return absl::OkStatus();
  const nlohmann::json list = found->is_array() ? *found : nlohmann::json::array({*found});
  for (const nlohmann::json& stop : list) {
    if (!stop.is_string()) return wrong("stop", "a text or a list of texts", *found);
    stops->push_back(stop.get<std::string>());
  }
  return absl::OkStatus();
}

// What would change the answer if it were done must not be passed over.
Status refuse_what_is_not_done(const nlohmann::json& json) {
  const std::pair<const char*, nlohmann::json> only[] = {{"n", 1},
                                                         {"best_of", 1},
                                                         {"echo", false},
                                                         {"suffix", ""},
                                                         {"presence_penalty", 0},
                                                         {"frequency_penalty", 0},
                                                         {"logprobs", nullptr},
                                                         {"logit_bias", nlohmann::json::object()}};
  for (const auto& [key, value] : only) {
    const auto found = json.find(key);
    if (found == json.end() || found->is_null() || *found == value) continue;
    return absl::InvalidArgumentError(base::concat("key \"", key, "\" is not supported here: leave it out"));
  }
  return absl::OkStatus();
}

Status read_model(const nlohmann::json& json, const std::string& model) {
  const auto found = json.find("model");
  if (found == json.end() || found->is_null()) return absl::OkStatus();
  if (!found->is_string()) return wrong("model", "a text", *found);
  if (found->get<std::string>() == model) return absl::OkStatus();
  return absl::NotFoundError(base::concat("the model here is ", base::in_quotes(model), ", found ",
                                          base::in_quotes(found->get<std::string>())));
}

Json usage_json(const AskSummary& summary) {
  return {{"prompt_tokens", summary.prompt_tokens},
          {"completion_tokens", summary.answer_tokens},
          {"total_tokens", summary.prompt_tokens + summary.answer_tokens}};
}

Json summary_json(const AskSummary& s) {
  return {{"request", swarm::request_text(s.request)},
          {"finish", std::string(name_of(s.finish))},
          {"seconds", static_cast<double>(s.duration_us) * 1e-6},
          {"trunk_version", s.trunk_version},
          {"expert_versions", {s.expert_version_min, s.expert_version_max}},
          {"by_replica", s.by_replica},
          {"by_hedge", s.by_hedge},
          {"by_next_expert", s.by_next_expert},
          {"lost", s.lost},
          {"gate_mass", s.gate_mass},
          {"gate_mass_lost", s.gate_mass_lost}};
}

Json with_choice(const CompletionHead& head, std::string_view text, const Json& finish_reason) {
  return {
      {"id", head.id},
      {"object", "text_completion"},
      {"created", head.created_s},
      {"model", json_text(head.model)},
      {"choices",
       {{{"text", json_text(text)}, {"index", 0}, {"logprobs", nullptr}, {"finish_reason", finish_reason}}}}};
}

const char* finish_reason(const AskSummary& summary) {
  return summary.finish == Finish::length ? "length" : "stop";
}

}  // namespace

StatusOr<Completion> parse_completion(std::string_view body, const std::string& model) {
  AGORA_ASSIGN_OR_RETURN(
      const nlohmann::json json,
      weights::parse_json(body, "the request", {.bytes_max = kCompletionBytesMax, .depth_max = 8}));
  if (!json.is_object()) return absl::InvalidArgumentError("expected a JSON object");
  AGORA_RETURN_IF_ERROR(read_model(json, model));
  AGORA_RETURN_IF_ERROR(refuse_what_is_not_done(json));
  Completion completion;
  AskRequest& request = completion.request;
  const auto prompt = json.find("prompt");
  if (prompt == json.end() || !prompt->is_string()) {
    return wrong("prompt", "one text", prompt == json.end() ? nlohmann::json() : *prompt);
  }
  request.prompt = prompt->get<std::string>();
  request.tokens_max = kTokensByDefault;
  request.sampler.temperature = 1;
  AGORA_RETURN_IF_ERROR(read_count(json, "max_tokens", &request.tokens_max));
  AGORA_RETURN_IF_ERROR(read_float(json, "temperature", &request.sampler.temperature));
  AGORA_RETURN_IF_ERROR(read_float(json, "top_p", &request.sampler.top_p));
  AGORA_RETURN_IF_ERROR(read_count(json, "top_k", &request.sampler.top_k));
  AGORA_RETURN_IF_ERROR(read_float(json, "repetition_penalty", &request.sampler.repetition_penalty));
  AGORA_RETURN_IF_ERROR(read_stops(json, &request.stops));
  int64_t seed = -1;
  AGORA_RETURN_IF_ERROR(read_count(json, "seed", &seed));
  completion.seed_given = seed >= 0;
  if (completion.seed_given) request.sampler.seed = static_cast<uint64_t>(seed);
  const auto stream = json.find("stream");
  if (stream != json.end() && !stream->is_null()) {
    if (!stream->is_boolean()) return wrong("stream", "true or false", *stream);
    completion.stream = stream->get<bool>();
  }
  AGORA_RETURN_IF_ERROR(validate(request));
  return completion;
}

std::string completion_json(const CompletionHead& head, std::string_view text, const AskSummary& summary) {
  Json json = with_choice(head, text, finish_reason(summary));
  json["usage"] = usage_json(summary);
  json["agora"] = summary_json(summary);
  return json.dump();
}

std::string completion_chunk(const CompletionHead& head, std::string_view piece) {
  return with_choice(head, piece, nullptr).dump();
}

std::string completion_end(const CompletionHead& head, const AskSummary& summary) {
  return completion_json(head, {}, summary);
}

std::string models_json(const std::string& model, int64_t created_s) {
  const Json entry = {
      {"id", json_text(model)}, {"object", "model"}, {"created", created_s}, {"owned_by", "agora"}};
  return Json({{"object", "list"}, {"data", Json::array({entry})}}).dump();
}

HttpError http_error(const Status& status) {
  int code = 500;
  const char* type = "server_error";
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      code = 400, type = "invalid_request_error";
      break;
    case absl::StatusCode::kNotFound:
      code = 404, type = "invalid_request_error";
      break;
    case absl::StatusCode::kResourceExhausted:
      code = 429, type = "rate_limit_error";
      break;
    case absl::StatusCode::kUnavailable:
      code = 503;
      break;
    case absl::StatusCode::kDeadlineExceeded:
      code = 504;
      break;
    default:
      break;
  }
  const std::string_view message(status.message().data(), status.message().size());
  const Json error = {{"message", json_text(message)}, {"type", type}, {"param", nullptr}, {"code", nullptr}};
  return {code, Json({{"error", error}}).dump()};
}

}  // namespace agora::serve
