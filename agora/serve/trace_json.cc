#include "agora/serve/trace_json.h"

#include "absl/strings/escaping.h"
#include "agora/base/text.h"
#include "agora/base/utf8.h"

namespace agora::serve {
namespace {

Json choice_json(const model::ChosenExpert& choice) {
  Json json = {{"expert", choice.expert.value},
               {"weight", choice.weight},
               {"score", choice.score},
               {"bias", choice.bias}};
  if (!choice.served) return json;
  const model::ServedAt& served = *choice.served;
  json["served"] = {{"host", json_text(served.host)},
                    {"version", served.version},
                    {"how", json_text(served.how)},
                    {"expert", served.expert.value}};
  return json;
}

Json layer_json(const model::LayerTrace& layer) {
  Json choices = Json::array();
  for (const model::ChosenExpert& choice : layer.choices) choices.push_back(choice_json(choice));
  Json json = {{"choices", std::move(choices)}, {"runner_up", nullptr}, {"margin", nullptr}};
  if (layer.runner_up) {
    const model::ScoredExpert& next = *layer.runner_up;
    json["runner_up"] = {{"expert", next.expert.value}, {"score", next.score}, {"bias", next.bias}};
    json["margin"] = layer.margin;
  }
  return json;
}

// Reads members of objects; the first that is not as expected is remembered.
class Members {
 public:
  template <class T>
  T get(const nlohmann::json& object, const char* key) {
    const auto member = object.is_object() ? object.find(key) : object.end();
    if (member == object.end() || !fits<T>(*member)) {
      fail(key);
      return T{};
    }
    return member->get<T>();
  }
  // Null where there is none.
  const nlohmann::json& member(const nlohmann::json& object, const char* key) {
    static const nlohmann::json kNull;
    const auto found = object.is_object() ? object.find(key) : object.end();
    return found == object.end() ? kNull : *found;
  }
  const nlohmann::json& list(const nlohmann::json& object, const char* key) {
    static const nlohmann::json kEmpty = nlohmann::json::array();
    const nlohmann::json& found = member(object, key);
    if (found.is_array()) return found;
    fail(key);
    return kEmpty;
  }
  ExpertId expert(const nlohmann::json& object) {
    const auto number = get<int32_t>(object, "expert");
    if (number < 0) fail("expert");
    return ExpertId{number};
  }
  void fail(const char* key) {
    if (status_.ok())
      status_ = absl::InvalidArgumentError(base::concat("key \"", key, "\" is missing or not as expected"));
  }
  const Status& status() const { return status_; }

 private:
  template <class T>
  static bool fits(const nlohmann::json& value) {
    if constexpr (std::is_same_v<T, std::string>) return value.is_string();
    if constexpr (std::is_same_v<T, float>) return value.is_number();
    if constexpr (std::is_same_v<T, uint64_t>) return value.is_number_unsigned();
    if constexpr (std::is_same_v<T, int32_t>) {
      return value.is_number_integer() && value.get<int64_t>() >= INT32_MIN &&
             value.get<int64_t>() <= INT32_MAX;
    }
    return false;
  }
  Status status_;
};

model::ChosenExpert read_choice(const nlohmann::json& json, Members& in) {
  model::ChosenExpert choice{in.expert(json), in.get<float>(json, "weight"), in.get<float>(json, "score"),
                             in.get<float>(json, "bias")};
  const nlohmann::json& served = in.member(json, "served");
  if (served.is_null()) return choice;
  choice.served = model::ServedAt{in.get<std::string>(served, "host"), in.get<uint64_t>(served, "version"),
                                  in.get<std::string>(served, "how"), in.expert(served)};
  return choice;
}

model::LayerTrace read_layer(const nlohmann::json& json, Members& in) {
  model::LayerTrace layer;
  for (const nlohmann::json& choice : in.list(json, "choices"))
    layer.choices.push_back(read_choice(choice, in));
  const nlohmann::json& next = in.member(json, "runner_up");
  if (next.is_null()) return layer;
  layer.runner_up =
      model::ScoredExpert{in.expert(next), in.get<float>(next, "score"), in.get<float>(next, "bias")};
  layer.margin = in.get<float>(json, "margin");
  return layer;
}

Status about_token(size_t number, const Status& error) {
  return base::about(base::concat("explanation: token ", number), error);
}

}  // namespace

std::string json_text(std::string_view bytes) {
  std::string text;
  for (size_t i = 0; i < bytes.size();) {
    const base::Utf8Char c = base::utf8_at(bytes, i);
    text += c.bytes > 0 ? bytes.substr(i, static_cast<size_t>(c.bytes)) : "\xef\xbf\xbd";
    i += static_cast<size_t>(std::max(c.bytes, 1));
  }
  return text;
}

Json token_json(std::string_view bytes) {
  std::string text = json_text(bytes);
  const bool whole = text == bytes;
  Json json = {{"token", std::move(text)}};
  if (!whole) json["token_hex"] = absl::BytesToHexString({bytes.data(), bytes.size()});
  return json;
}

Json trace_json(const std::vector<model::TokenTrace>& trace) {
  Json tokens = Json::array();
  for (const model::TokenTrace& token : trace) {
    Json json = {{"position", token.position}};
    json.update(token_json(token.text));
    json["layers"] = Json::array();
    for (const model::LayerTrace& layer : token.layers) json["layers"].push_back(layer_json(layer));
    tokens.push_back(std::move(json));
  }
  return tokens;
}

StatusOr<std::vector<model::TokenTrace>> read_trace_json(const nlohmann::json& json) {
  if (!json.is_array()) return absl::InvalidArgumentError("explanation: expected a list of tokens");
  Members in;
  std::vector<model::TokenTrace> trace;
  for (const nlohmann::json& token : json) {
    model::TokenTrace read{in.get<std::string>(token, "token"), in.get<int32_t>(token, "position"), {}};
    const nlohmann::json& hex = in.member(token, "token_hex");
    if (hex.is_string()) {
      const auto digits = hex.get<std::string>();
      const bool valid =
          digits.size() % 2 == 0 && digits.find_first_not_of("0123456789abcdef") == std::string::npos;
      if (!valid) in.fail("token_hex");
      if (valid) read.text = absl::HexStringToBytes(digits);
    }
    for (const nlohmann::json& layer : in.list(token, "layers")) read.layers.push_back(read_layer(layer, in));
    if (!trace.empty() && read.layers.size() != trace[0].layers.size()) in.fail("layers");
    if (!in.status().ok()) return about_token(trace.size(), in.status());
    trace.push_back(std::move(read));
  }
  return trace;
}

}  // namespace agora::serve
