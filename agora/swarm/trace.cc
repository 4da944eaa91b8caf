#include "agora/swarm/trace.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "agora/base/append_bytes.h"
#include "agora/base/bytes.h"

namespace agora::swarm {
namespace {

// One span on the wire: age and duration (8 bytes each), two lengths (1 byte each), two texts.
static_assert(Trace::kTextBytesMax <= 255);

void append_text(const std::string& text, std::vector<std::byte>& to) {
  base::append_le(static_cast<uint8_t>(text.size()), to);
  base::append_bytes(base::as_bytes(text), to);
}

bool read_text(base::ByteReader& in, std::string* text) {
  uint8_t size = 0;
  base::Bytes bytes;
  if (!in.read_le(&size) || size > Trace::kTextBytesMax || !in.take(size, &bytes)) return false;
  *text = base::as_text(bytes);
  return true;
}

bool read_time(base::ByteReader& in, int64_t* value) {
  uint64_t raw = 0;
  if (!in.read_le(&raw) || raw > RemoteSpan::kTimeNsMax) return false;
  *value = static_cast<int64_t>(raw);
  return true;
}

}  // namespace

void Trace::add(Span span) {
  if (span.trace == 0) return;
  span.what.resize(std::min(span.what.size(), kTextBytesMax));
  span.detail.resize(std::min(span.detail.size(), kTextBytesMax));
  base::MutexLock lock(mutex_);
  if (ring_.size() < kSpansMax) return ring_.push_back(std::move(span));
  ring_[next_] = std::move(span);
  next_ = (next_ + 1) % kSpansMax;
}

std::vector<Span> Trace::spans_of(uint64_t trace) const {
  base::MutexLock lock(mutex_);
  std::vector<Span> found;
  for (size_t i = 0; i < ring_.size(); ++i) {
    const Span& span = ring_[(next_ + i) % ring_.size()];
    if (span.trace == trace) found.push_back(span);
  }
  return found;
}

void Trace::reply_to(peers::IncomingCall& call) const {
  base::ByteReader in(call.payload().bytes());
  uint64_t trace = 0;
  if (!in.read_le(&trace) || in.remaining() > 0) {
    return call.reply(absl::InvalidArgumentError("expected the number of a trace, 8 bytes"));
  }
  call.reply(absl::OkStatus(), peers::Payload::own(encode_spans(spans_of(trace), clock_.now_ns())));
}

std::string request_text(uint64_t trace) { return absl::StrFormat("%016x", trace); }

peers::Payload encode_trace_request(uint64_t trace) {
  std::vector<std::byte> bytes;
  base::append_le(trace, bytes);
  return peers::Payload::own(std::move(bytes));
}

std::vector<std::byte> encode_spans(const std::vector<Span>& spans, int64_t now_ns) {
  const size_t count = std::min(spans.size(), Trace::kSpansReplyMax);
  std::vector<std::byte> bytes;
  base::append_le(static_cast<uint32_t>(count), bytes);
  for (auto span = spans.end() - static_cast<std::ptrdiff_t>(count); span != spans.end(); ++span) {
    base::append_le(static_cast<uint64_t>(std::max<int64_t>(0, now_ns - span->begin_ns)), bytes);
    base::append_le(static_cast<uint64_t>(std::max<int64_t>(0, span->end_ns - span->begin_ns)), bytes);
    append_text(span->what, bytes);
    append_text(span->detail, bytes);
  }
  return bytes;
}

StatusOr<std::vector<RemoteSpan>> decode_spans(base::Bytes bytes) {
  const auto broken = [] { return absl::InvalidArgumentError("expected the spans of a trace"); };
  base::ByteReader in(bytes);
  uint32_t count = 0;
  if (!in.read_le(&count) || count > Trace::kSpansReplyMax) return broken();
  std::vector<RemoteSpan> spans(count);
  for (RemoteSpan& span : spans) {
    if (!read_time(in, &span.age_ns) || !read_time(in, &span.duration_ns)) return broken();
    if (!read_text(in, &span.what) || !read_text(in, &span.detail)) return broken();
  }
  if (in.remaining() > 0) return broken();
  return spans;
}

}  // namespace agora::swarm
