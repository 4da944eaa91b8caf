// What a peer says of itself: one small signed record, good for a while, replaced by a fresher one.
//
//   std::vector<std::byte> bytes = sign_record(record, identity);       // at most kRecordBytesMax
//   AGORA_ASSIGN_OR_RETURN(Record r, read_record(bytes));   if (!signature_holds(r, bytes)) drop(bytes);
//
// Any thread (values).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agora/base/bytes.h"
#include "agora/base/result.h"
#include "agora/peers/endpoint.h"
#include "agora/peers/identity/signer.h"
#include "agora/peers/peer_id.h"

namespace agora::peers {

constexpr size_t kRecordBytesMax = 960;  // signature included: what a BEP 44 item may hold (1,000), bencoded
constexpr size_t kRecordBodyBytesMax = 768;
constexpr size_t kRecordHostBytesMax = 46;  // the longest text of an IPv6 address
constexpr uint32_t kRecordTtlMaxS = 600;    // nobody stays in views for longer without a word

struct Record {
  PeerId peer;  // always the hash of key
  PublicKey key{};
  SwarmId swarm;
  Endpoint endpoint;      // an address, never a name
  uint64_t sequence = 0;  // a peer's fresher record has the higher one
  uint32_t ttl_s = 30;    // counted by the reader's own clock from when it saw this sequence first
  bool leaving = false;   // the peer's last record: forget it
  std::string body;       // what the peer holds and does; swarm/ writes and reads it
};

// Signed by signer, whose key and peer id it carries whatever record says. ResourceExhausted: the body is
// too large; InvalidArgument: no endpoint that others could reach, a time to live out of its bounds.
StatusOr<std::vector<std::byte>> sign_record(const Record& record, const Signer& signer);

// What the signature is of: the record's bytes without it, and a word that says that they are a record.
std::vector<std::byte> signed_bytes(base::Bytes record_bytes);
// The last bytes of a record that read_record() took.
Signature signature_of(base::Bytes record_bytes);

// A claim until signature_holds() says so, which takes 40 us: the sequence may tell before that it is not
// worth it. InvalidArgument: not a record, too large, a wrong length inside.
StatusOr<Record> read_record(base::Bytes bytes);
bool signature_holds(const Record& record, base::Bytes bytes);  // bytes: those it was read from

}  // namespace agora::peers
