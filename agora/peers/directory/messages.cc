// Layout, little endian, no padding:
//   records: u16 count, each u16 length, bytes
//   request: records, u64 arc first, u64 arc last, u16 count, each u64 place, u64 sequence
//   reply: records, u16 count, each u64 place          push: records
#include "agora/peers/directory/messages.h"

#include <string_view>
#include <utility>

#include "agora/base/append_bytes.h"
#include "agora/base/check.h"
#include "agora/base/text.h"

namespace agora::peers {
namespace {

constexpr size_t kMessageBytesMax = 2 * kMessageRecordsBytesMax;

class Writer {
 public:
  template <std::unsigned_integral T>
  void number(T value) {
    base::append_le(value, bytes_);
  }
  void records(const std::vector<Payload>& records) {
    AGORA_CHECK_LE(records.size(), kMessageRecordsMax);
    number(static_cast<uint16_t>(records.size()));
    for (const Payload& record : records) {
      number(static_cast<uint16_t>(record.size()));
      base::append_bytes(record.bytes(), bytes_);
    }
  }
  Payload take() { return Payload::own(std::move(bytes_)); }

 private:
  std::vector<std::byte> bytes_;
};

Status bad(std::string_view what, std::string_view why) {
  return absl::InvalidArgumentError(base::concat("directory ", what, ": ", why));
}

Status check_size(const Payload& payload, std::string_view what) {
  if (payload.size() <= kMessageBytesMax) return absl::OkStatus();
  return bad(what, base::concat(payload.size(), " bytes; expected at most ", kMessageBytesMax));
}

bool read_records(const Payload& payload, base::ByteReader& in, std::vector<Payload>* records) {
  uint16_t count = 0;
  if (!in.read_le(&count) || count > kMessageRecordsMax) return false;
  for (uint16_t i = 0; i < count; ++i) {
    uint16_t size = 0;
    if (!in.read_le(&size)) return false;
    const size_t offset = payload.size() - in.remaining();
    if (!in.skip(size)) return false;
    records->push_back(payload.slice(offset, size));
  }
  return true;
}

}  // namespace

Payload encode(const ExchangeRequest& request) {
  AGORA_CHECK_LE(request.digest.size(), kExchangeEntriesMax);
  Writer out;
  out.records(request.records);
  out.number(request.arc.first);
  out.number(request.arc.last);
  out.number(static_cast<uint16_t>(request.digest.size()));
  for (const DigestEntry& entry : request.digest) {
    out.number(entry.place);
    out.number(entry.sequence);
  }
  return out.take();
}

Payload encode(const ExchangeReply& reply) {
  AGORA_CHECK_LE(reply.wanted.size(), kExchangeEntriesMax);
  Writer out;
  out.records(reply.records);
  out.number(static_cast<uint16_t>(reply.wanted.size()));
  for (const uint64_t place : reply.wanted) out.number(place);
  return out.take();
}

Payload encode_records(const std::vector<Payload>& records) {
  Writer out;
  out.records(records);
  return out.take();
}

StatusOr<ExchangeRequest> parse_exchange_request(const Payload& payload) {
  constexpr std::string_view kWhat = "exchange";
  AGORA_RETURN_IF_ERROR(check_size(payload, kWhat));
  ExchangeRequest request;
  base::ByteReader in(payload.bytes());
  if (!read_records(payload, in, &request.records)) return bad(kWhat, "a record does not fit");
  if (request.records.size() > 1) return bad(kWhat, "brings more than its sender's own record");
  uint16_t count = 0;
  if (!in.read_le(&request.arc.first) || !in.read_le(&request.arc.last) || !in.read_le(&count)) {
    return bad(kWhat, "ends before its digest");
  }
  if (count > kExchangeEntriesMax || in.remaining() != count * 2 * sizeof(uint64_t)) {
    return bad(kWhat, base::concat("a digest of ", count, " entries in ", in.remaining(), " bytes"));
  }
  request.digest.resize(count);
  for (DigestEntry& entry : request.digest) {
    if (!in.read_le(&entry.place) || !in.read_le(&entry.sequence)) return bad(kWhat, "digest too short");
  }
  return request;
}

StatusOr<ExchangeReply> parse_exchange_reply(const Payload& payload) {
  constexpr std::string_view kWhat = "exchange's reply";
  AGORA_RETURN_IF_ERROR(check_size(payload, kWhat));
  ExchangeReply reply;
  base::ByteReader in(payload.bytes());
  uint16_t count = 0;
  if (!read_records(payload, in, &reply.records)) return bad(kWhat, "a record does not fit");
  if (!in.read_le(&count) || count > kExchangeEntriesMax || in.remaining() != count * sizeof(uint64_t)) {
    return bad(kWhat, "its wishes do not fit");
  }
  reply.wanted.resize(count);
  for (uint64_t& place : reply.wanted) {
    if (!in.read_le(&place)) return bad(kWhat, "its wishes are too short");
  }
  return reply;
}

StatusOr<std::vector<Payload>> parse_records(const Payload& payload) {
  constexpr std::string_view kWhat = "push";
  AGORA_RETURN_IF_ERROR(check_size(payload, kWhat));
  std::vector<Payload> records;
  base::ByteReader in(payload.bytes());
  if (!read_records(payload, in, &records) || in.remaining() != 0) return bad(kWhat, "a record does not fit");
  if (records.size() > kExchangeEntriesMax) {
    return bad(kWhat, base::concat(records.size(), " records; expected at most ", kExchangeEntriesMax));
  }
  return records;
}

}  // namespace agora::peers
