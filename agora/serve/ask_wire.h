// Questions to a server and its answers as bytes: kAsk and kExplain.
//
//   transport.call({.method = swarm::kAsk, ...}, encode(request), {done, part});
//   AGORA_ASSIGN_OR_RETURN(AskPart part, decode_ask_part(payload.bytes()));        // tokens as they come
//   AGORA_ASSIGN_OR_RETURN(AskSummary end, decode_ask_summary(reply.payload.bytes()));
//
// An answer may be continued by another server: the request then brings the tokens that came before, and
// draws depend on nothing but the seed and a token's place, so the answer is the same as if one had given it.
// kExplain: the request is a text, the reply JSON (explain_swarm.h). Any thread (values).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agora/base/result.h"
#include "agora/peers/transport/payload.h"
#include "agora/serve/sampler.h"

namespace agora::serve {

constexpr size_t kPromptBytesMax = 256 << 10;
constexpr int64_t kAnswerTokensMax = 1 << 16;
constexpr size_t kStopsMax = 16;
constexpr size_t kStopBytesMax = 256;
constexpr size_t kPartTextBytesMax = 1 << 20;

struct AskRequest {
  std::string prompt = {};
  std::vector<int32_t> answered = {};  // the answer's tokens that came before; empty at the start
  int64_t tokens_max = 200;            // of the whole answer, `answered` included
  SamplerSettings sampler = {};
  std::vector<std::string> stops = {};  // the answer ends before any of them
};

// Tokens and what of their text can be shown: the beginning of a character or of a stop text is held back.
struct AskPart {
  int64_t first = 0;  // place of tokens[0] in the answer
  std::vector<int32_t> tokens;
  std::string text;
  friend bool operator==(const AskPart&, const AskPart&) = default;
};

enum class Finish : uint8_t { length, end_of_text, stop };
std::string_view name_of(Finish finish);

// How an answer came about. Counts are of this server's part of it.
struct AskSummary {
  Finish finish = Finish::length;
  uint64_t request = 0;  // names it in logs and traces
  int64_t prompt_tokens = 0;
  int64_t answer_tokens = 0;  // made here; tokens / duration is the rate
  int64_t duration_us = 0;    // from the request to here
  uint64_t trunk_version = 0;
  uint64_t expert_version_min = 0, expert_version_max = 0;              // of the experts that served it
  uint64_t by_replica = 0, by_hedge = 0, by_next_expert = 0, lost = 0;  // choices
  double gate_mass = 0, gate_mass_lost = 0;                             // sums of weights
  friend bool operator==(const AskSummary&, const AskSummary&) = default;
};

peers::Payload encode(const AskRequest& request);
peers::Payload encode(const AskPart& part);
peers::Payload encode(const AskSummary& summary);

// InvalidArgument says what was expected and what came: shape, limits, numbers out of range. The sampler's
// settings have been validated.
StatusOr<AskRequest> decode_ask_request(base::Bytes bytes);
StatusOr<AskPart> decode_ask_part(base::Bytes bytes);
StatusOr<AskSummary> decode_ask_summary(base::Bytes bytes);

// The limits above, for requests that did not come as bytes.
Status validate(const AskRequest& request);

}  // namespace agora::serve
