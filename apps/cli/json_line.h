// JSON as the commands print it.
//
//   std::cout << json_line(report) << "\n";
//
// Names of files, folders and swarms may be any bytes: what is not UTF-8 in them is replaced. Any thread.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace agora::cli {

template <class Json>
std::string json_line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace agora::cli
