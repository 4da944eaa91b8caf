#include "agora/peers/directory/simulated_records.h"

#include <algorithm>
#include <utility>

#include "agora/base/rng.h"

namespace agora::peers {
namespace {

uint64_t hash_of(base::Bytes bytes, uint64_t key) {
  uint64_t hash = mix_bits(key + bytes.size());
  while (bytes.size() >= sizeof(uint64_t)) {
    hash = mix_bits(hash ^ base::load_le<uint64_t>(bytes.data()));
    bytes = bytes.subspan(sizeof(uint64_t));
  }
  uint64_t rest = 0;
  for (const std::byte byte : bytes) rest = rest << 8 | static_cast<uint64_t>(byte);
  return mix_bits(hash ^ rest);
}

uint64_t hash_of_signature(base::Bytes record) {
  return hash_of(record.last(std::min(record.size(), sizeof(Signature))), /*key=*/1);
}

Signature simulated_signature(const PublicKey& key, base::Bytes bytes) {
  const uint64_t hash = hash_of(bytes, hash_of(key, /*key=*/0));
  Signature signature;
  for (size_t i = 0; i < signature.size(); i += sizeof hash) {
    base::store_le(mix_bits(hash + i), signature.data() + i);
  }
  return signature;
}

}  // namespace

SimulatedSigner::SimulatedSigner(uint64_t number) {
  for (size_t i = 0; i < key_.size(); i += sizeof number) base::store_le(number + i, key_.data() + i);
}

Signature SimulatedSigner::sign(base::Bytes bytes) const { return simulated_signature(key_, bytes); }

StatusOr<std::shared_ptr<const SignedRecord>> SimulatedReader::read(base::Bytes bytes) {
  const uint64_t hash = hash_of_signature(bytes);
  const auto kept = records_.find(hash);
  if (kept != records_.end()) {
    std::shared_ptr<const SignedRecord> record = kept->second.record.lock();
    if (record != nullptr && std::ranges::equal(record->bytes.bytes(), bytes)) return record;
  }
  AGORA_ASSIGN_OR_RETURN(Record parsed, read_record(bytes));
  auto record = std::make_shared<const SignedRecord>(SignedRecord{std::move(parsed), Payload::copy(bytes)});
  if (records_.size() >= forget_at_) forget_unheld();
  records_[hash] = {.record = record};
  return record;
}

bool SimulatedReader::holds(const SignedRecord& record) {
  const base::Bytes bytes = record.bytes.bytes();
  const auto kept = records_.find(hash_of_signature(bytes));
  if (kept != records_.end() && kept->second.holds == &record) return true;
  if (signature_of(bytes) != simulated_signature(record.record.key, signed_bytes(bytes))) return false;
  if (kept != records_.end() && kept->second.record.lock().get() == &record) kept->second.holds = &record;
  return true;
}

void SimulatedReader::forget_unheld() {
  std::erase_if(records_, [](const auto& kept) { return kept.second.record.expired(); });
  forget_at_ = std::max<size_t>(2 * records_.size(), 1024);
}

}  // namespace agora::peers
