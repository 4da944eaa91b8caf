// What two directories say to each other: an exchange (own record and a digest there, fresher records and
// wishes back) and a push (records). Parsed with limits: any authenticated peer may send anything.
//
//   Payload request = encode(ExchangeRequest{...});
//   AGORA_ASSIGN_OR_RETURN(ExchangeRequest r, parse_exchange_request(payload));
//
// Bytes of an exchange, whatever the size of the swarm: at most 5.2 KB there, 64 KB back. Records inside are
// still unchecked; they borrow the payload. Any thread (values).
#pragma once

#include <cstdint>
#include <vector>

#include "agora/base/result.h"
#include "agora/peers/directory/view.h"
#include "agora/peers/transport/payload.h"
#include "agora/peers/transport/transport.h"

namespace agora::peers {

constexpr Method kExchangeMethod{1};
constexpr Method kPushMethod{2};

constexpr size_t kExchangeEntriesMax = 256;  // of a digest: a swarm of 256 is covered at once; and of a push
constexpr size_t kMessageRecordsMax = 512;   // of any message
constexpr size_t kMessageRecordsBytesMax = 64 * kRecordBytesMax;  // what one side sends of them

struct ExchangeRequest {
  std::vector<Payload> records;  // the sender's own, one; none while it has published nothing
  Arc arc;
  std::vector<DigestEntry> digest;
};

struct ExchangeReply {
  std::vector<Payload> records;  // the first is the replier's own, where it has one
  std::vector<uint64_t> wanted;  // places
};

Payload encode(const ExchangeRequest& request);
Payload encode(const ExchangeReply& reply);
Payload encode_records(const std::vector<Payload>& records);

// InvalidArgument: too large, too many, or a length inside does not fit.
StatusOr<ExchangeRequest> parse_exchange_request(const Payload& payload);
StatusOr<ExchangeReply> parse_exchange_reply(const Payload& payload);
StatusOr<std::vector<Payload>> parse_records(const Payload& payload);

}  // namespace agora::peers
