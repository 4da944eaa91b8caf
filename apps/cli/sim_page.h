// `agora sim --html`: a run of the simulator as one self-contained page. Inline style and inline SVG, no
// script, nothing from a network, light and dark; every curve's numbers also stand in a table.
//
//   AGORA_RETURN_IF_ERROR(weights::write_atomically(path, sim_page(report, timeline)));
//
// The same bytes for the same report. Any thread (a pure function).
#pragma once

#include <string>
#include <vector>

#include "agora/sim/quality.h"
#include "agora/sim/timeline.h"

namespace agora::cli {

// What keeps a page of a long run within some hundred kilobytes; what is left out is said on it.
constexpr size_t kPageFaultsMax = 400;
constexpr size_t kPageRowsMax = 120;  // of the table; curves show all samples

std::string sim_page(const sim::RunReport& report, const sim::Timeline& timeline);
// `agora sim --quality --html`: perplexity over messages lost and hosts dead, a curve for each number of
// replicas.
std::string quality_page(const sim::Scenario& scenario, uint64_t seed,
                         const std::vector<sim::QualityCurve>& curves);

}  // namespace agora::cli
