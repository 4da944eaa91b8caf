// The sections of the explain page, in the order in which they stand. Each is a whole <section>, or nothing
// where the report has nothing for it.
#pragma once

#include <cstdint>
#include <string>

#include "apps/cli/explain_report.h"

namespace agora::cli {

// The text, each token in the colour of its experts; what the gates weighed on hover or focus, and as a
// table.
std::string text_section(const ExplainReport& report);
// How many tabs text_section makes.
int64_t text_tabs(const ExplainReport& report);

// Mutual information over its null, and the maps expert x domain.
std::string domain_section(const ExplainReport& report);

// Each layer's experts: load, strongest domain, what is lost without it, top tokens.
std::string expert_section(const ExplainReport& report);

// Which experts are chosen together.
std::string together_section(const ExplainReport& report);

// How evenly the work is spread.
std::string balance_section(const ExplainReport& report);

// An expert's number on its colour.
std::string expert_badge(int64_t expert);

// The hue of an expert, 0 .. 359: neighbours in number are far apart (steps of the golden angle).
int expert_hue(int64_t expert);

}  // namespace agora::cli
