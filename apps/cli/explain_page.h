// `agora explain --html`: the report as one self-contained page. Inline style and inline SVG, no script,
// nothing from a network, light and dark, readable without colours: every picture's numbers also stand in a
// table.
//
//   AGORA_RETURN_IF_ERROR(write_atomically(path, explain_page(report)));
//
// Any bytes may stand in names and tokens: all are escaped, and bytes that are no UTF-8 are shown as \xNN. A
// thread's own call (it calls report.token_text).
#pragma once

#include <cstdint>
#include <string>

#include "apps/cli/explain_report.h"

namespace agora::cli {

// Limits that keep a page of a large model within some megabytes. What is left out is said on the page.
constexpr int64_t kPageTokensMax = 1024;  // of the text
constexpr int64_t kPageLayersTogetherMax =
    12;  // shown under each token at once; more: one layer at a time only
constexpr int64_t kPageExpertsTogetherMax = 32;  // in a co-activation map, the most loaded
constexpr int64_t kPageTopTokens = 8;            // of an expert

std::string explain_page(const ExplainReport& report);

}  // namespace agora::cli
