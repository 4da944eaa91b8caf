// Any bytes as a question to a server, a part of an answer and its end. What was read is written as it was.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "agora/serve/ask_wire.h"

namespace {

template <class Decode>
void expect_round(agora::base::Bytes bytes, Decode decode) {
  const auto message = decode(bytes);
  if (!message.ok()) return;
  const agora::peers::Payload again = encode(*message);
  if (!std::ranges::equal(again.bytes(), bytes)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const agora::base::Bytes bytes = std::as_bytes(std::span(data, size));
  expect_round(bytes, agora::serve::decode_ask_request);
  expect_round(bytes, agora::serve::decode_ask_part);
  expect_round(bytes, agora::serve::decode_ask_summary);
  return 0;
}
