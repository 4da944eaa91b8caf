#include "agora/serve/ask_wire.h"

#include <bit>
#include <cmath>
#include <utility>

#include "agora/base/append_bytes.h"
#include "agora/base/bytes.h"
#include "agora/base/text.h"

namespace agora::serve {
namespace {

using base::ByteReader;
using base::Bytes;
using base::concat;

constexpr uint8_t kAskWireVersion = 1;

class Writer {
 public:
  Writer() { put(kAskWireVersion); }

  template <std::unsigned_integral T>
  void put(T value) {
    base::append_le(value, bytes_);
  }
  void put_float(float value) { put(std::bit_cast<uint32_t>(value)); }
  void put_double(double value) { put(std::bit_cast<uint64_t>(value)); }
  void put_count(int64_t value) { put(static_cast<uint64_t>(value)); }
  void put_text(std::string_view text) {
    put(static_cast<uint32_t>(text.size()));
    base::append_bytes(base::as_bytes(text), bytes_);
  }
  void put_tokens(const std::vector<int32_t>& tokens) {
    put(static_cast<uint32_t>(tokens.size()));
    for (const int32_t token : tokens) put(static_cast<uint32_t>(token));
  }
  peers::Payload done() && { return peers::Payload::own(std::move(bytes_)); }

 private:
  std::vector<std::byte> bytes_;
};

// Reads until something does not fit; says then what it was.
class Reader {
 public:
  Reader(std::string_view message, Bytes bytes) : message_(message), in_(bytes) {
    const auto version = get<uint8_t>("version");
    if (version != kAskWireVersion)
      fail(concat("version ", int{kAskWireVersion}, " expected, found ", int{version}));
  }

  template <std::unsigned_integral T>
  T get(const char* what) {
    T value = 0;
    if (ok_ && !in_.read_le(&value)) fail(concat("the bytes end before ", what));
    return ok_ ? value : T{0};
  }
  float get_float(const char* what) { return std::bit_cast<float>(get<uint32_t>(what)); }
  // Finite and not negative.
  double get_mass(const char* what) {
    const auto value = std::bit_cast<double>(get<uint64_t>(what));
    if (!(std::isfinite(value) && value >= 0))
      fail(concat(what, ": expected a number from 0, found ", value));
    return ok_ ? value : 0;
  }
  int64_t get_count(const char* what, int64_t max = INT64_MAX) {
    const auto value = get<uint64_t>(what);
    if (value > static_cast<uint64_t>(max)) fail(concat(what, ": expected at most ", max, ", found ", value));
    return ok_ ? static_cast<int64_t>(value) : 0;
  }
  std::string get_text(const char* what, size_t bytes_max) {
    const size_t size = get_size(what, bytes_max);
    Bytes text;
    if (ok_ && !in_.take(size, &text)) fail(concat("the bytes end within ", what));
    return ok_ ? std::string(base::as_text(text)) : std::string();
  }
  std::vector<int32_t> get_tokens(const char* what, size_t count_max) {
    const size_t count = get_size(what, count_max);
    std::vector<int32_t> tokens;
    if (ok_ && in_.remaining() < count * sizeof(int32_t)) fail(concat("the bytes end within ", what));
    for (size_t i = 0; ok_ && i < count; ++i) tokens.push_back(static_cast<int32_t>(get<uint32_t>(what)));
    return tokens;
  }
  size_t get_size(const char* what, size_t max) {
    const auto size = get<uint32_t>(what);
    if (size > max) fail(concat(what, ": expected at most ", max, ", found ", size));
    return ok_ ? size : 0;
  }
  void fail(std::string_view problem) {
    if (ok_) status_ = absl::InvalidArgumentError(concat(message_, ": ", problem));
    ok_ = false;
  }
  Status end() {
    if (ok_ && in_.remaining() > 0) fail(concat(in_.remaining(), " bytes too many"));
    return status_;
  }

 private:
  std::string_view message_;
  ByteReader in_;
  bool ok_ = true;
  Status status_;
};

Status expect_at_most(const char* what, uint64_t found, uint64_t max) {
  if (found <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(concat("ask: ", what, ": expected at most ", max, ", found ", found));
}

}  // namespace

std::string_view name_of(Finish finish) {
  switch (finish) {
    case Finish::length:
      return "length";
    case Finish::end_of_text:
      return "end of text";
    case Finish::stop:
      return "stop";
  }
  return "unknown";
}

Status validate(const AskRequest& request) {
  AGORA_RETURN_IF_ERROR(expect_at_most("bytes of the prompt", request.prompt.size(), kPromptBytesMax));
  AGORA_RETURN_IF_ERROR(expect_at_most("stop texts", request.stops.size(), kStopsMax));
  for (const std::string& stop : request.stops) {
    AGORA_RETURN_IF_ERROR(expect_at_most("bytes of a stop text", stop.size(), kStopBytesMax));
  }
  if (request.tokens_max < 1 || request.tokens_max > kAnswerTokensMax) {
    return absl::InvalidArgumentError(
        concat("ask: tokens: expected 1 to ", kAnswerTokensMax, ", found ", request.tokens_max));
  }
  AGORA_RETURN_IF_ERROR(expect_at_most("tokens that came before", request.answered.size(),
                                       static_cast<uint64_t>(request.tokens_max)));
  return validate(request.sampler);
}

peers::Payload encode(const AskRequest& request) {
  Writer out;
  out.put_text(request.prompt);
  out.put_tokens(request.answered);
  out.put_count(request.tokens_max);
  out.put_float(request.sampler.temperature);
  out.put_float(request.sampler.top_p);
  out.put_count(request.sampler.top_k);
  out.put_float(request.sampler.repetition_penalty);
  out.put_count(request.sampler.repetition_window);
  out.put(request.sampler.seed);
  out.put(static_cast<uint32_t>(request.stops.size()));
  for (const std::string& stop : request.stops) out.put_text(stop);
  return std::move(out).done();
}

StatusOr<AskRequest> decode_ask_request(Bytes bytes) {
  Reader in("ask", bytes);
  AskRequest request;
  request.prompt = in.get_text("prompt", kPromptBytesMax);
  request.answered = in.get_tokens("tokens that came before", kAnswerTokensMax);
  request.tokens_max = in.get_count("tokens");
  request.sampler.temperature = in.get_float("temperature");
  request.sampler.top_p = in.get_float("top-p");
  request.sampler.top_k = in.get_count("top-k");
  request.sampler.repetition_penalty = in.get_float("repetition penalty");
  request.sampler.repetition_window = in.get_count("repetition window");
  request.sampler.seed = in.get<uint64_t>("seed");
  const size_t stops = in.get_size("stop texts", kStopsMax);
  for (size_t i = 0; i < stops; ++i) request.stops.push_back(in.get_text("stop text", kStopBytesMax));
  AGORA_RETURN_IF_ERROR(in.end());
  AGORA_RETURN_IF_ERROR(validate(request));
  return request;
}

peers::Payload encode(const AskPart& part) {
  Writer out;
  out.put_count(part.first);
  out.put_tokens(part.tokens);
  out.put_text(part.text);
  return std::move(out).done();
}

StatusOr<AskPart> decode_ask_part(Bytes bytes) {
  Reader in("part of an answer", bytes);
  AskPart part;
  part.first = in.get_count("place", kAnswerTokensMax);
  part.tokens = in.get_tokens("tokens", static_cast<size_t>(kAnswerTokensMax - part.first));
  part.text = in.get_text("text", kPartTextBytesMax);
  AGORA_RETURN_IF_ERROR(in.end());
  return part;
}

peers::Payload encode(const AskSummary& s) {
  Writer out;
  out.put(static_cast<uint8_t>(s.finish));
  out.put(s.request);
  for (const int64_t n : {s.prompt_tokens, s.answer_tokens, s.duration_us}) out.put_count(n);
  for (const uint64_t n : {s.trunk_version, s.expert_version_min, s.expert_version_max, s.by_replica,
                           s.by_hedge, s.by_next_expert, s.lost}) {
    out.put(n);
  }
  out.put_double(s.gate_mass);
  out.put_double(s.gate_mass_lost);
  return std::move(out).done();
}

StatusOr<AskSummary> decode_ask_summary(Bytes bytes) {
  Reader in("end of an answer", bytes);
  AskSummary s;
  const auto finish = in.get<uint8_t>("finish");
  if (finish > static_cast<uint8_t>(Finish::stop))
    in.fail(concat("finish: expected 0 to 2, found ", int{finish}));
  s.finish = static_cast<Finish>(finish);
  s.request = in.get<uint64_t>("request");
  s.prompt_tokens = in.get_count("prompt tokens");
  s.answer_tokens = in.get_count("answer tokens", kAnswerTokensMax);
  s.duration_us = in.get_count("duration");
  for (uint64_t* n : {&s.trunk_version, &s.expert_version_min, &s.expert_version_max, &s.by_replica,
                      &s.by_hedge, &s.by_next_expert, &s.lost}) {
    *n = in.get<uint64_t>("counts");
  }
  s.gate_mass = in.get_mass("gate mass");
  s.gate_mass_lost = in.get_mass("gate mass lost");
  AGORA_RETURN_IF_ERROR(in.end());
  return s;
}

}  // namespace agora::serve
