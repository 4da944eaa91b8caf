// Runs a program and reads the JSON objects that it prints, one a line.
//
//   AGORA_ASSIGN_OR_RETURN(auto lines, run_json({"build-outside/libtorch_step", "--threads", "1,2"}));
//
// Blocks until the program has ended. NotFound: it is not there; Internal: it failed.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "agora/base/result.h"

namespace agora::cli {

// The program's standard output; what it says on standard error goes to ours.
StatusOr<std::string> run_program(const std::vector<std::string>& command);

StatusOr<std::vector<nlohmann::json>> run_json(const std::vector<std::string>& command);

}  // namespace agora::cli
