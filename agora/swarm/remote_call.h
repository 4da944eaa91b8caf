// Drives a MixCall over a transport from the thread that waits for it: sends, listens, sets the clock going.
//
//   RemoteCall remote(hosts, settings, exchange);
//   AGORA_RETURN_IF_ERROR(remote.run(call, call.start(now)));
//
// Replies come on the transport's threads and are put into an inbox; everything else happens on the calling
// thread, so that an answer wakes one thread and no other. One thread; many RemoteCalls may run at the same
// time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "agora/base/baton.h"
#include "agora/base/loop.h"
#include "agora/peers/transport/transport.h"
#include "agora/swarm/finder/finder.h"
#include "agora/swarm/mix_call.h"

namespace agora::swarm {

struct Hosts {
  base::Loop& loop;
  peers::Transport& transport;
  Finder& finder;
};

struct RemoteCallSettings {
  peers::Method method;
  peers::Priority priority = peers::Priority::training;
  uint64_t trace = 0;
  base::Baton* baton = nullptr;
};

// What a call says and how it is answered.
class Exchange {
 public:
  virtual ~Exchange() = default;
  // `again`: the host has lost the ticket that the first message named.
  virtual peers::Payload message(const MixSend& send, bool again) = 0;
  // [choices of the send] what arrived. An error: the answer can not be used.
  virtual StatusOr<std::vector<uint8_t>> take(const MixSend& send, const peers::Reply& reply) = 0;
};

class RemoteCall {
 public:
  RemoteCall(const Hosts& hosts, const RemoteCallSettings& settings, Exchange& exchange);
  ~RemoteCall();

  // Returns when the call is done. An error is the last host's that found fault with the message itself.
  // Where another took what a host refused, the fault was that host's: a failure of it.
  Status run(MixCall& call, const MixActions& first);

  struct Counts {
    uint64_t tickets_resent = 0;
    int64_t bytes_sent = 0, bytes_received = 0;
    std::vector<int64_t> latency_ns;  // of the answers
  };
  const Counts& counts() const { return counts_; }

 private:
  class Inbox;
  struct Refusal {
    uint32_t send;
    int64_t latency_ns;
    uint32_t load_us;
  };
  struct Sent {
    peers::CallId id;
    int64_t at_ns = 0;
    bool again = false;
    bool open = false;
  };

  void apply(const MixCall& call, const MixActions& actions);
  void send(const MixSend& plan, bool again);
  MixActions handle(MixCall& call, uint32_t number, const peers::Reply& reply);
  void judge_refusals(const MixCall& call) const;

  Hosts hosts_;
  RemoteCallSettings settings_;
  Exchange& exchange_;
  std::shared_ptr<Inbox>
      inbox_;               // shared with calls under way: their replies may come when nobody waits any more
  std::vector<Sent> sent_;  // by number of the send
  Status refused_;
  std::vector<Refusal> refusals_;
  Counts counts_;
};

}  // namespace agora::swarm
