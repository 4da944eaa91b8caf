// How a directory turns bytes into records and tells whether their peers signed them.
//
//   AGORA_ASSIGN_OR_RETURN(std::shared_ptr<const SignedRecord> r, reader.read(bytes));   // a claim
//   if (reader.holds(*r)) ...                                                            // its peer's word
//
// Given to a directory by its constructor: a peer's own is Ed25519Reader; thousands of simulated peers of one
// process share a SimulatedReader. Thread rule: the reader's own.
#pragma once

#include <memory>

#include "agora/base/result.h"
#include "agora/peers/directory/record.h"
#include "agora/peers/transport/payload.h"

namespace agora::peers {

struct SignedRecord {
  Record record;
  Payload bytes;  // those it was read from: what is passed on
};

class RecordReader {
 public:
  virtual ~RecordReader() = default;
  // Copies the bytes; errors as read_record().
  virtual StatusOr<std::shared_ptr<const SignedRecord>> read(base::Bytes bytes) = 0;
  virtual bool holds(const SignedRecord& record) = 0;
};

// Each record by itself; a check of a signature takes 40 us. Any thread.
class Ed25519Reader final : public RecordReader {
 public:
  StatusOr<std::shared_ptr<const SignedRecord>> read(base::Bytes bytes) override {
    AGORA_ASSIGN_OR_RETURN(Record record, read_record(bytes));
    return std::make_shared<const SignedRecord>(SignedRecord{std::move(record), Payload::copy(bytes)});
  }
  bool holds(const SignedRecord& record) override {
    return signature_holds(record.record, record.bytes.bytes());
  }
};

}  // namespace agora::peers
