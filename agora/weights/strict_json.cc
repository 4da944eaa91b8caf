#include "agora/weights/strict_json.h"

#include <algorithm>
#include <set>
#include <vector>

#include "agora/base/text.h"

namespace agora::weights {

using base::concat;

namespace {

using nlohmann::json;

Status bad_json(const std::string& file, const std::string& what) {
  return absl::InvalidArgumentError(concat(file, " is not usable JSON: ", what));
}

// Counted on the text, because a parser that recurses would already be out of stack. Text that is not JSON
// may give any number here; the parser refuses it afterwards.
int nesting_depth(std::string_view text) {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return deepest;
}

}  // namespace

StatusOr<json> parse_json(std::string_view text, const std::string& file, const JsonLimits& limits) {
  if (static_cast<int64_t>(text.size()) > limits.bytes_max) {
    return bad_json(file, concat("it has ", text.size(), " bytes, the limit is ", limits.bytes_max));
  }
  // The parser takes a NUL for the end of the text and would not look at what follows.
  if (text.find('\0') != text.npos) return bad_json(file, "it has a zero byte");
  if (const int depth = nesting_depth(text); depth > limits.depth_max) {
    return bad_json(file, concat("it nests ", depth, " deep, the limit is ", limits.depth_max));
  }

  std::vector<std::set<std::string>> keys;  // of the objects that are open
  std::string duplicate;
  const auto watch_keys = [&](int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second) {
      duplicate = value.get<std::string>();
    }
    return true;
  };
  try {
    json parsed = json::parse(text, watch_keys);
    if (!duplicate.empty()) return bad_json(file, concat("the key \"", duplicate, "\" appears twice"));
    return parsed;
  } catch (const json::exception& error) {  // only with exceptions on does the parser say where it stopped
    // what() opens with "[json.exception...] " and may quote the whole token that it stopped at.
    const std::string_view what = error.what();
    const size_t prefix = what.find("] ");
    return bad_json(file, std::string(what.substr(prefix == what.npos ? 0 : prefix + 2).substr(0, 200)));
  }
}

}  // namespace agora::weights
