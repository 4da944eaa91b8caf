// Any bytes as a peer's spans of a request.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "agora/swarm/trace.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using agora::swarm::Trace;
  const auto spans = agora::swarm::decode_spans(std::as_bytes(std::span(data, size)));
  if (!spans.ok()) return 0;
  if (spans->size() > Trace::kSpansReplyMax) std::abort();
  for (const agora::swarm::RemoteSpan& span : *spans) {
    for (const int64_t time : {span.age_ns, span.duration_ns}) {
      if (time < 0 || time > agora::swarm::RemoteSpan::kTimeNsMax) std::abort();
    }
    if (span.what.size() > Trace::kTextBytesMax || span.detail.size() > Trace::kTextBytesMax) std::abort();
  }
  return 0;
}
