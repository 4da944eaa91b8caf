// What this peer says of itself, in ever higher sequences.
//
//   OwnRecord own(fields, signer, first_sequence);   own.set_body(body);   own.sign_next();   own.bytes();
//
// The first sequence is the wall clock's; where an earlier life of this peer went further (its clock was set
// back since), somebody shows its record and on_seen() jumps above it. Pure state. One thread at a time.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "agora/peers/directory/record.h"
#include "agora/peers/transport/payload.h"

namespace agora::peers {

class OwnRecord {
 public:
  // fields: swarm, endpoint, ttl; the rest is written here.
  OwnRecord(Record fields, std::shared_ptr<const Signer> signer, uint64_t first_sequence)
      : record_(std::move(fields)), signer_(std::move(signer)) {
    record_.sequence = first_sequence;
  }

  // False: it is too large, the one before stays.
  bool set_body(std::string body) {
    if (body.size() > kRecordBodyBytesMax) return false;
    record_.body = std::move(body);
    return true;
  }
  void set_ttl_s(uint32_t ttl_s) { record_.ttl_s = ttl_s; }  // from the next one on
  bool says(const std::string& body) const { return !empty() && record_.body == body; }
  // With the next sequence. On failure (an endpoint or time to live that sign_record refuses) the one signed
  // before stays.
  Status sign_next(bool leaving = false) {
    record_.leaving = leaving;
    record_.sequence += record_.sequence < UINT64_MAX ? 1 : 0;
    AGORA_ASSIGN_OR_RETURN(std::vector<std::byte> bytes, sign_record(record_, *signer_));
    bytes_ = Payload::own(std::move(bytes));
    return absl::OkStatus();
  }
  // bytes: a record that this peer signed, now or in an earlier life. True: it is not older than the one we
  // have, so a new one must be signed.
  bool on_seen(base::Bytes bytes) {
    const StatusOr<Record> seen = read_record(bytes);
    if (!seen.ok() || seen->sequence < record_.sequence) return false;
    if (std::ranges::equal(bytes, bytes_.bytes())) return false;
    record_.sequence = seen->sequence;
    return true;
  }

  const Payload& bytes() const { return bytes_; }  // empty before the first sign_next()
  bool empty() const { return bytes_.size() == 0; }
  const Endpoint& endpoint() const { return record_.endpoint; }
  const SwarmId& swarm() const { return record_.swarm; }
  uint32_t ttl_s() const { return record_.ttl_s; }
  uint64_t sequence() const { return record_.sequence; }

 private:
  Record record_;
  std::shared_ptr<const Signer> signer_;
  Payload bytes_;
};

}  // namespace agora::peers
