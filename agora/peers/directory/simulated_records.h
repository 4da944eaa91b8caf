// Signatures and records of thousands of peers in one process, for simulations and tests: a keyed hash in
// place of Ed25519, and every record kept once however many views hold it.
//
//   auto reader = std::make_shared<SimulatedReader>();                  // one for all peers
//   auto signer = std::make_shared<const SimulatedSigner>(number);
//   auto directory = SwarmDirectory::create(settings, signer, loop, transport, dht, reader);
//
// A changed byte is noticed as with Ed25519, but anybody who has the program can sign for anybody: never for
// peers that do not trust each other. The same on every machine. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "agora/peers/directory/record_reader.h"
#include "agora/peers/identity/signer.h"

namespace agora::peers {

class SimulatedSigner final : public Signer {
 public:
  explicit SimulatedSigner(uint64_t number);
  const PublicKey& public_key() const override { return key_; }
  Signature sign(base::Bytes bytes) const override;

 private:
  PublicKey key_;
};

class SimulatedReader final : public RecordReader {
 public:
  StatusOr<std::shared_ptr<const SignedRecord>> read(base::Bytes bytes) override;
  bool holds(const SignedRecord& record) override;
  size_t size() const { return records_.size(); }  // about what is held, at most twice as much

 private:
  struct Kept {
    std::weak_ptr<const SignedRecord> record;
    const SignedRecord* holds = nullptr;  // the record, once its signature was found to be true
  };
  void forget_unheld();

  std::unordered_map<uint64_t, Kept> records_;  // by the hash of their signatures
  size_t forget_at_ = 1024;
};

}  // namespace agora::peers
