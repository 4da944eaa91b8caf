// Any bytes as the messages of the directory: an exchange, its reply, a push. What parses is within limits
// and is written again as the same bytes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "agora/base/check.h"
#include "agora/peers/directory/messages.h"

namespace {

using agora::peers::Payload;

void check_same(const Payload& read, const Payload& written) {
  AGORA_CHECK(std::ranges::equal(read.bytes(), written.bytes()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Payload payload = Payload::copy(std::as_bytes(std::span(data, size)));
  if (const auto request = agora::peers::parse_exchange_request(payload); request.ok()) {
    check_same(payload, encode(*request));
  }
  if (const auto reply = agora::peers::parse_exchange_reply(payload); reply.ok()) {
    check_same(payload, encode(*reply));
  }
  if (const auto records = agora::peers::parse_records(payload); records.ok()) {
    check_same(payload, agora::peers::encode_records(*records));
  }
  return 0;
}
