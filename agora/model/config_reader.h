// Reads the keys of one JSON object into fields; the first mistake is kept and ends the reading.
//
//   Reader reader(json, "config.json");
//   reader.read("hidden_size", config.hidden_size, true);
//   reader.read_name("score", kScores, config.gate.score);       // by a table of Name<Score>
//   AGORA_RETURN_IF_ERROR(reader.status());
//
// A key that is not there, or null, leaves its field as it was. One thread at a time.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agora/base/result.h"
#include "agora/base/text.h"
#include <nlohmann/json.hpp>

namespace agora::model {

template <class Enum>
struct Name {
  Enum value;
  const char* name;
};

template <class Enum, size_t N>
const char* name_of(const Name<Enum> (&names)[N], Enum value) {
  for (const auto& entry : names) {
    if (entry.value == value) return entry.name;
  }
  return "?";
}

// InvalidArgument lists the names.
template <class Enum, size_t N>
StatusOr<Enum> value_named(const Name<Enum> (&names)[N], const std::string& name) {
  std::string known;
  for (const auto& entry : names) {
    if (name == entry.name) return entry.value;
    absl::StrAppend(&known, known.empty() ? "" : ", ", entry.name);
  }
  return absl::InvalidArgumentError(absl::StrCat("expected one of ", known, "; found ", name.substr(0, 80)));
}

class Reader {
 public:
  // The object outlives the reader; `where` is for messages.
  Reader(const nlohmann::json& object, std::string where) : object_(object), where_(std::move(where)) {}

  const Status& status() const { return status_; }

  template <class T>
  void read(const char* key, T& field, bool required = false) {
    const nlohmann::json* const found = find(key);
    if (found == nullptr) {
      if (required) fail(key, "a value", "nothing");
      return;
    }
    if constexpr (std::is_same_v<T, bool>) {
      if (!found->is_boolean()) return fail(key, "true or false", found->dump());
    } else if constexpr (std::is_integral_v<T>) {
      if (!found->is_number_integer()) return fail(key, "a whole number", found->dump());
    } else if constexpr (std::is_floating_point_v<T>) {
      if (!found->is_number()) return fail(key, "a number", found->dump());
    } else {
      if (!found->is_string()) return fail(key, "a string", found->dump());
    }
    field = found->template get<T>();
  }

  template <class Enum, size_t N>
  void read_name(const char* key, const Name<Enum> (&names)[N], Enum& field) {
    std::string name;
    read(key, name);
    if (name.empty()) return;
    const StatusOr<Enum> value = value_named(names, name);
    if (value.ok()) {
      field = *value;
    } else if (status_.ok()) {
      status_ = base::about(absl::StrCat(where_, ": key \"", key, "\""), value.status());
    }
  }

  // nullptr: it is not there, or a mistake.
  const nlohmann::json* object_at(const char* key) {
    const nlohmann::json* const found = find(key);
    if (found == nullptr || found->is_object()) return found;
    fail(key, "an object", found->dump());
    return nullptr;
  }

  // From now on a key that was never asked for is a mistake.
  void refuse_others() {
    for (const auto& [key, value] : object_.items()) {
      if (asked_.contains(key)) continue;
      fail(key, "no such key", value.dump());
    }
  }

 private:
  const nlohmann::json* find(const char* key) {
    asked_.insert(key);
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }

  void fail(std::string_view key, std::string_view expected, std::string_view came) {
    if (!status_.ok()) return;
    status_ = absl::InvalidArgumentError(absl::StrCat(where_, ": key \"", std::string(key.substr(0, 80)),
                                                      "\": expected ", std::string(expected), ", found ",
                                                      std::string(came.substr(0, 80))));
  }

  const nlohmann::json& object_;
  std::string where_;
  std::set<std::string, std::less<>> asked_;
  Status status_;
};

}  // namespace agora::model
