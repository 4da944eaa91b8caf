// What one row to one expert on another peer costs beyond the expert's own work: gRPC with TLS over loopback.
//
//   AGORA_ASSIGN_OR_RETURN(RowOverhead o, measure_row_overhead(compute, {}));   o.p50_us;  o.p99_us;
//
// A gate in this process and a host in a child of its own; the calls are interactive and exact, one after the
// other, as a generation's are. Not for serving: for `agora bench swarm`. Forks: before this process has
// threads that compute or call.
#pragma once

#include <cstdint>

#include "agora/base/result.h"
#include "agora/moe/local_experts.h"

namespace agora::swarm {

struct RowOverheadConfig {
  int64_t width = 1024;   // D
  int64_t hidden = 1024;  // H
  int calls = 4000;
  int warm_up = 500;
};

struct RowOverhead {
  double p50_us = 0, p99_us = 0;  // a call's time less the expert's: the median without a transport
};

StatusOr<RowOverhead> measure_row_overhead(const moe::Compute& compute, const RowOverheadConfig& config);

}  // namespace agora::swarm
