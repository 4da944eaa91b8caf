// Layout, little endian, no padding:
//   u8 version (1)   u8 flags (1: leaving)   u16 ttl_s   u64 sequence   32 key   32 swarm   u16 port
//   u8 length, host   u16 length, body   64 signature of kSignedAs and all before
#include "agora/peers/directory/record.h"

#include <algorithm>
#include <utility>

#include "agora/base/append_bytes.h"
#include "agora/base/text.h"
#include "agora/peers/identity/identity.h"

namespace agora::peers {
namespace {

constexpr uint8_t kVersion = 1;
constexpr uint8_t kLeaving = 1;
constexpr size_t kSignatureBytes = sizeof(Signature);
constexpr size_t kFixedBytes = 1 + 1 + 2 + 8 + 32 + 32 + 2 + 1 + 2 + kSignatureBytes;
static_assert(kFixedBytes + kRecordHostBytesMax + kRecordBodyBytesMax <= kRecordBytesMax);

// A signature made for a record means nothing anywhere else that the key signs.
constexpr std::string_view kSignedAs = "agora record 1";

std::vector<std::byte> marked(base::Bytes unsigned_part) {
  std::vector<std::byte> bytes(kSignedAs.size() + unsigned_part.size());
  const auto tail = std::ranges::copy(base::as_bytes(kSignedAs), bytes.begin()).out;
  std::ranges::copy(unsigned_part, tail);
  return bytes;
}

Status check_fields(const Record& record) {
  const std::string& host = record.endpoint.host;
  // An address: a name would be looked up by everybody who dials its peer, wherever that leads.
  if (!is_address(host) || host.size() > kRecordHostBytesMax || record.endpoint.port == 0) {
    return absl::InvalidArgumentError(base::concat("record: expected an address of at most ",
                                                   kRecordHostBytesMax, " characters and a port from 1, not ",
                                                   base::in_quotes(host), " port ", record.endpoint.port));
  }
  if (record.ttl_s == 0 || record.ttl_s > kRecordTtlMaxS) {
    return absl::InvalidArgumentError(base::concat("record: expected a time to live of 1 to ", kRecordTtlMaxS,
                                                   " seconds, not ", record.ttl_s));
  }
  return absl::OkStatus();
}

Status not_a_record(std::string_view why) {
  return absl::InvalidArgumentError(base::concat("not a record: ", why));
}

}  // namespace

StatusOr<std::vector<std::byte>> sign_record(const Record& record, const Signer& signer) {
  if (record.body.size() > kRecordBodyBytesMax) {
    return absl::ResourceExhaustedError(base::concat("record: the body has ", record.body.size(),
                                                     " bytes; at most ", kRecordBodyBytesMax, " fit"));
  }
  AGORA_RETURN_IF_ERROR(check_fields(record));
  std::vector<std::byte> bytes;
  bytes.reserve(kFixedBytes + record.endpoint.host.size() + record.body.size());
  base::append_le(kVersion, bytes);
  base::append_le(record.leaving ? kLeaving : uint8_t{0}, bytes);
  base::append_le(static_cast<uint16_t>(record.ttl_s), bytes);
  base::append_le(record.sequence, bytes);
  base::append_bytes(signer.public_key(), bytes);
  base::append_bytes(record.swarm.bytes, bytes);
  base::append_le(record.endpoint.port, bytes);
  base::append_le(static_cast<uint8_t>(record.endpoint.host.size()), bytes);
  base::append_bytes(base::as_bytes(record.endpoint.host), bytes);
  base::append_le(static_cast<uint16_t>(record.body.size()), bytes);
  base::append_bytes(base::as_bytes(record.body), bytes);
  base::append_bytes(signer.sign(marked(bytes)), bytes);
  return bytes;
}

StatusOr<Record> read_record(base::Bytes bytes) {
  if (bytes.size() > kRecordBytesMax) {
    return not_a_record(base::concat(bytes.size(), " bytes; at most ", kRecordBytesMax));
  }
  base::ByteReader in(bytes);
  Record record;
  uint8_t version = 0, flags = 0, host_size = 0;
  uint16_t ttl_s = 0, body_size = 0;
  base::Bytes key, swarm, host, body;
  if (!in.read_le(&version) || version != kVersion) return not_a_record("expected version 1");
  if (!in.read_le(&flags) || (flags & ~kLeaving) != 0) return not_a_record("unknown flags");
  if (!in.read_le(&ttl_s) || !in.read_le(&record.sequence) || !in.take(32, &key) || !in.take(32, &swarm) ||
      !in.read_le(&record.endpoint.port) || !in.read_le(&host_size) || !in.take(host_size, &host) ||
      !in.read_le(&body_size) || body_size > kRecordBodyBytesMax || !in.take(body_size, &body) ||
      in.remaining() != kSignatureBytes) {
    return not_a_record("a length inside does not fit");
  }
  std::ranges::copy(key, record.key.begin());
  std::ranges::copy(swarm, record.swarm.bytes.begin());
  record.endpoint.host = base::as_text(host);
  record.ttl_s = ttl_s;
  record.leaving = (flags & kLeaving) != 0;
  record.body = base::as_text(body);
  AGORA_RETURN_IF_ERROR(check_fields(record));
  record.peer = peer_id_of(record.key);
  return record;
}

std::vector<std::byte> signed_bytes(base::Bytes record_bytes) {
  return marked(record_bytes.first(record_bytes.size() - kSignatureBytes));
}

Signature signature_of(base::Bytes record_bytes) {
  Signature signature;
  std::ranges::copy(record_bytes.last(kSignatureBytes), signature.begin());
  return signature;
}

bool signature_holds(const Record& record, base::Bytes bytes) {
  return bytes.size() >= kSignatureBytes && verify(record.key, signed_bytes(bytes), signature_of(bytes));
}

}  // namespace agora::peers
