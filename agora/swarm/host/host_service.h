// A host's side of the mixture: takes calls off the transport, queues them, runs them, answers.
//
//   ThreadLoop compute("agora-compute");   Executor executor(compute);
//   HostService service(transport, executor, held, spec, {});   // serves the mixture's methods
//   transport.stop();                                              // before the service goes
//
// The way of a call: parsed and checked on the transport's thread; queued (WorkQueue); its turn comes on the
// executor and it is answered from there. A small interactive call that finds the host idle is done at once
// on the transport's thread. Forward calls of many callers for one layer make one pass (MixBatch). Who calls
// is who the transport says; tickets are its own (TicketTable). In an asynchronous swarm the experts' due
// steps are taken here too. counters(), load_us(): any thread.
#pragma once

#include <cstdint>
#include <memory>

#include "agora/peers/transport/transport.h"
#include "agora/swarm/host/executor.h"
#include "agora/swarm/host/held_experts.h"
#include "agora/swarm/host/ticket_table.h"
#include "agora/swarm/host/work_queue.h"
#include "agora/swarm/spec.h"
#include "agora/swarm/trace.h"

namespace agora::swarm {

// What became of gradients is HeldExperts::counters().
struct HostCounters {
  uint64_t calls = 0;      // of all four methods
  uint64_t rows = 0;       // of experts, forward and backward
  uint64_t passes = 0;     // forward, over the experts
  uint64_t shared = 0;     // forward calls that shared their pass with others
  uint64_t done_here = 0;  // calls done on the transport's thread
  uint64_t malformed = 0;  // not a message of ours
  uint64_t refused = 0;  // wrong layer, shape or dtype, rows that are not finite, a gradient beyond the limit
  uint64_t unknown_tickets = 0;  // expired, used, or another caller's
  uint64_t moving = 0;           // gradients for what is being handed over, or is held here no more
  uint64_t queue_full = 0;
  uint64_t late = 0;          // deadline passed or caller gone while it waited
  uint64_t waiting_most = 0;  // calls that waited at one time
};

struct HostConfig {
  WorkLimits queue;
  TicketLimits tickets;
  int64_t rows_per_pass_max = 4096;  // of experts; beyond this a pass gains nothing and others wait
  int64_t rows_here_max = 8;         // of experts: what a transport's thread may do itself
  uint64_t seed = 1;                 // of ticket numbers
  Trace* trace = nullptr;
};

class HostService {
 public:
  // All are borrowed. Registers its methods: before the transport's first request.
  HostService(peers::Transport& transport, Executor& executor, HeldExperts& held, const SwarmSpec& spec,
              const HostConfig& config);
  ~HostService();

  HostCounters counters() const;
  uint32_t load_us() const;  // how long a call that came now would wait

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with what waits in the executor
};

}  // namespace agora::swarm
