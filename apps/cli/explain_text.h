// `agora explain` on the terminal: the report as text that fits the width, heat maps in colour where there is
// colour.
//
//   std::cout << explain_text(report, inspect_terminal(STDOUT_FILENO));
//
// A thread's own call (it calls report.token_text).
#pragma once

#include <string>

#include "apps/cli/explain_report.h"
#include "apps/cli/terminal_device.h"

namespace agora::cli {

constexpr int64_t kTextTopTokens = 6;  // of an expert
constexpr int64_t kTextPairs = 4;      // of a layer: the experts most often chosen together, against chance

std::string explain_text(const ExplainReport& report, const TerminalDevice& device);

}  // namespace agora::cli
