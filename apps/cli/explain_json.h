// `agora explain --json`: the report as one JSON object for machines, nothing rounded or left out.
//
//   std::cout << explain_json(report).dump() << "\n";
//
// A token that is no UTF-8 has its bytes in hex beside the text, in which each stray byte stands as U+FFFD.
// Numbers that are not finite are null. A thread's own call (it calls report.token_text).
#pragma once

#include <nlohmann/json.hpp>

#include "apps/cli/explain_report.h"

namespace agora::cli {

// {"model", "summary": {label: value}, "text": [{"position", "token", "layers": [{"choices": [{"expert",
// "weight", "score", "bias"}], "runner_up": {...} or null, "margin"}]}], "domains": [name], "specialisation":
// {"layers": [{...}]} or null, "ablation": {...} or null}; the members of the last two are named as in
// agora/train/specialisation.h.
nlohmann::ordered_json explain_json(const ExplainReport& report);

}  // namespace agora::cli
