// A transport with faults put in: delay, loss, duplicates, reordering, peers that can not be reached.
//
//   FaultyTransport slow(inner, loop, Rng(seed), {.delay_ns = 50 * kMillisecondNs});
//   slow.set_faults({.to_nobody = true});          // at any time; what is under way keeps its old fate
//
// Every message is hit once: the calls that go out through this transport, there and back. Wrap the
// transport of each peer that is to be affected. What comes in from others is touched only by the black
// holes. Parts of one call stay in their order, and before its reply. Parts and replies are handed over on
// the loop, whose time must be the inner transport's. Any thread; set_faults() too.
#pragma once

#include <cstdint>
#include <memory>
#include <set>

#include "agora/base/loop.h"
#include "agora/base/rng.h"
#include "agora/peers/transport/transport.h"

namespace agora::peers {

struct Faults {
  int64_t delay_ns = 0;    // each way
  int64_t jitter_ns = 0;   // added: uniform in [0, jitter_ns]
  double loss = 0;         // share of requests, and of replies, that never come
  double duplicate = 0;    // share of requests that the peer gets twice
  double reorder = 0;      // share of messages that are held back ...
  int64_t reorder_ns = 0;  // ... by up to this much, so that later ones overtake them
  // Black holes: nothing that is sent to these peers arrives, nothing that comes from them is seen.
  std::set<PeerId> to{}, from{};
  bool to_nobody = false, from_nobody = false;  // as if all peers were named
};

struct FaultCounters {
  uint64_t delayed = 0, lost = 0, duplicated = 0, held_back = 0, swallowed = 0;
};

class FaultyTransport final : public Transport {
 public:
  // inner and loop outlive it.
  FaultyTransport(Transport& inner, base::Loop& loop, Rng rng, Faults faults);
  ~FaultyTransport() override;

  void set_faults(Faults faults);
  FaultCounters faults_seen() const;

  const PeerId& self() const override;
  const Endpoint& endpoint() const override;
  using Transport::call;
  CallId call(const CallSettings& settings, Payload payload, CallEvents events) override;
  void cancel(CallId call) override;
  void serve(Method method, CallHandler handler) override;
  void stop() override;                         // the inner one too
  TransportCounters counters() const override;  // the inner one's, but for the calls that failed

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with what is under way on the loop
};

}  // namespace agora::peers
