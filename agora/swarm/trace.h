// What this peer did for a request, kept for a while: `agora trace` puts the answers of many peers together.
//
//   Trace trace(loop);                                                // one a peer; the last kSpansMax spans
//   trace.add({call->trace(), "host.mix", begin_ns, loop.now_ns(), "12 rows, layer 3"});
//
//   trace.reply_to(call);                                             // serves kGetTrace
//   AGORA_ASSIGN_OR_RETURN(auto spans, decode_spans(reply.payload.bytes()));
//
// Clocks of two peers have nothing to do with each other: on the wire a span says how long ago it began. Any
// thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agora/base/clock.h"
#include "agora/base/mutex.h"
#include "agora/base/result.h"
#include "agora/peers/transport/transport.h"

namespace agora::swarm {

struct Span {
  uint64_t trace = 0;       // of the request; 0: nobody asked, and nothing is kept
  std::string what;         // "gate.mix", "host.queue", "host.mix", "server.ask": who, then what
  int64_t begin_ns = 0;     // of the peer's clock
  int64_t end_ns = 0;       // at least begin_ns
  std::string detail = {};  // for people
};

// As it came from another peer.
struct RemoteSpan {
  static constexpr int64_t kTimeNsMax = int64_t{1} << 61;  // decades: sums of a few of them are numbers still

  std::string what;
  std::string detail;
  int64_t age_ns = 0;  // from its begin to the reply; both from 0 to kTimeNsMax
  int64_t duration_ns = 0;
};

class Trace {
 public:
  static constexpr size_t kSpansMax = 8192;       // of all requests; the oldest goes first
  static constexpr size_t kTextBytesMax = 120;    // of `what` and of `detail`; the rest is cut
  static constexpr size_t kSpansReplyMax = 4096;  // of one request: the latest

  explicit Trace(const Clock& clock) : clock_(clock) {}  // the clock outlives it

  void add(Span span);
  std::vector<Span> spans_of(uint64_t trace) const;  // in the order in which they were added
  // The request's body is the trace's number, 8 bytes, little endian; anything else: InvalidArgument.
  void reply_to(peers::IncomingCall& call) const;

 private:
  const Clock& clock_;
  mutable base::Mutex mutex_;
  std::vector<Span> ring_ ABSL_GUARDED_BY(mutex_);
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0;  // where the next one goes, once the ring is full
};

// A request's number as people see it: 16 hexadecimal digits.
std::string request_text(uint64_t trace);

peers::Payload encode_trace_request(uint64_t trace);
std::vector<std::byte> encode_spans(const std::vector<Span>& spans, int64_t now_ns);
// InvalidArgument: not what encode_spans() writes.
StatusOr<std::vector<RemoteSpan>> decode_spans(base::Bytes bytes);

}  // namespace agora::swarm
