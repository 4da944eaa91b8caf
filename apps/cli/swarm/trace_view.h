// One request across peers: the spans that they kept of it, on one line of time.
//
//   std::vector<TracedSpan> spans = in_order(std::move(collected));
//   std::cout << trace_text(spans, columns);
//
// Peers' clocks have nothing to do with each other. A span says how long before its peer's answer it began,
// and the answer's arrival is known here; so a span's place is right but for the answer's time on the way.
// Pure functions; any thread.
#pragma once

#include <string>
#include <vector>

#include "agora/peers/peer_id.h"
#include "agora/swarm/trace.h"
#include <nlohmann/json_fwd.hpp>

namespace agora::cli {

struct TracedSpan {
  peers::PeerId peer;
  swarm::RemoteSpan span;
  int64_t begin_ns = 0;  // on our clock
};

// By begin, times counted from the first.
std::vector<TracedSpan> in_order(std::vector<TracedSpan> spans);

std::string trace_text(const std::vector<TracedSpan>& spans, int columns);
nlohmann::ordered_json trace_json(const std::vector<TracedSpan>& spans);

// The request that swarm::request_text() names. InvalidArgument: not such a number, or 0.
StatusOr<uint64_t> parse_request(const std::string& text);

}  // namespace agora::cli
