#include "agora/peers/directory/view.h"

#include <algorithm>
#include <unordered_set>

#include "agora/base/loop.h"

namespace agora::peers {
namespace {

constexpr double kPassedOnShare = 2.0 / 3;  // of a record's time; its peer refreshes it at half

bool same_bytes(base::Bytes a, base::Bytes b) { return std::ranges::equal(a, b); }

}  // namespace

uint64_t ring_place(const PeerId& peer) { return base::load_be<uint64_t>(peer.bytes.data()); }

Verdict DirectoryView::take(base::Bytes bytes, int64_t now_ns, std::vector<DirectoryEvent>* events) {
  if (bytes.size() > kRecordBytesMax) return count(Verdict::oversized);
  StatusOr<Record> record = read_record(bytes);
  if (!record.ok()) return count(Verdict::malformed);
  const Verdict verdict = check(*record, bytes);
  if (verdict == Verdict::taken) put(*std::move(record), bytes, now_ns, events);
  return count(verdict);
}

// Cheap refusals first: a signature is checked only where it decides.
Verdict DirectoryView::check(const Record& record, base::Bytes bytes) const {
  if (record.swarm != settings_.swarm) return Verdict::foreign;
  if (record.peer == settings_.self) {
    return signature_holds(record, bytes) ? Verdict::own : Verdict::forged;
  }
  const uint64_t place = ring_place(record.peer);
  if (const auto known = peers_.find(place); known != peers_.end()) {
    if (known->second.record->peer != record.peer) return Verdict::over_limit;  // one in 2^64
    if (record.sequence < known->second.record->sequence) return Verdict::stale;
    if (same_bytes(bytes, known->second.bytes.bytes())) return Verdict::known;
    if (!signature_holds(record, bytes)) return Verdict::forged;
    return record.sequence == known->second.record->sequence ? Verdict::stale : Verdict::taken;
  }
  if (const auto tombstone = tombstones_.find(place); tombstone != tombstones_.end()) {
    if (record.sequence <= tombstone->second.sequence) return Verdict::stale;
  }
  if (peers_.size() >= settings_.peers_max) return Verdict::over_limit;
  return signature_holds(record, bytes) ? Verdict::taken : Verdict::forged;
}

void DirectoryView::put(Record record, base::Bytes bytes, int64_t now_ns,
                        std::vector<DirectoryEvent>* events) {
  if (record.leaving) return bury(record, Payload::copy(bytes), events);
  const uint64_t place = ring_place(record.peer);
  const int64_t ttl_ns = record.ttl_s * base::kSecondNs;
  const auto [at, is_new] = peers_.try_emplace(place);
  Known& known = at->second;
  if (!is_new) expiries_.erase({known.expires_ns, place});
  known.record = std::make_shared<const Record>(std::move(record));
  known.bytes = Payload::copy(bytes);
  known.expires_ns = now_ns + ttl_ns;
  known.pass_on_until_ns = now_ns + static_cast<int64_t>(static_cast<double>(ttl_ns) * kPassedOnShare);
  expiries_.emplace(known.expires_ns, place);
  tombstones_.erase(place);
  events->push_back({is_new ? DirectoryEvent::Kind::seen : DirectoryEvent::Kind::changed, known.record});
}

void DirectoryView::expire(int64_t now_ns, std::vector<DirectoryEvent>* events) {
  while (next_expiry_ns() <= now_ns) {
    const Known& known = peers_.at(expiries_.begin()->second);
    ++counters_.expired;
    bury(Record(*known.record), Payload(known.bytes), events);
  }
}

void DirectoryView::bury(const Record& record, Payload bytes, std::vector<DirectoryEvent>* events) {
  const uint64_t place = ring_place(record.peer);
  if (const auto known = peers_.find(place); known != peers_.end()) {
    events->push_back({DirectoryEvent::Kind::gone, known->second.record});
    expiries_.erase({known->second.expires_ns, place});
    peers_.erase(known);
  }
  tombstones_[place] = {record.sequence, std::move(bytes)};
  tombstone_order_.push_back(place);
  while (tombstone_order_.size() > settings_.tombstones_max) {
    tombstones_.erase(tombstone_order_.front());
    tombstone_order_.pop_front();
  }
}

Verdict DirectoryView::count(Verdict verdict) {
  switch (verdict) {
    case Verdict::taken:
      ++counters_.records_taken;
      break;
    case Verdict::forged:
      ++counters_.forged;
      break;
    case Verdict::stale:
      ++counters_.stale;
      break;
    case Verdict::oversized:
      ++counters_.oversized;
      break;
    case Verdict::foreign:
      ++counters_.foreign;
      break;
    case Verdict::malformed:
      ++counters_.malformed;
      break;
    case Verdict::over_limit:
      ++counters_.over_limit;
      break;
    case Verdict::known:
    case Verdict::own:
      break;
  }
  return verdict;
}

std::vector<std::shared_ptr<const Record>> DirectoryView::records() const {
  std::vector<std::shared_ptr<const Record>> records;
  records.reserve(peers_.size());
  for (const auto& [place, known] : peers_) records.push_back(known.record);
  return records;
}

std::shared_ptr<const Record> DirectoryView::find(const PeerId& peer) const {
  const auto known = peers_.find(ring_place(peer));
  if (known == peers_.end() || known->second.record->peer != peer) return nullptr;
  return known->second.record;
}

bool DirectoryView::is_aging(const PeerId& peer, int64_t now_ns) const {
  const auto known = peers_.find(ring_place(peer));
  return known != peers_.end() && now_ns >= known->second.pass_on_until_ns;
}

std::shared_ptr<const Record> DirectoryView::at_or_after(uint64_t place) const {
  if (peers_.empty()) return nullptr;
  const auto at = peers_.lower_bound(place);
  return (at == peers_.end() ? peers_.begin() : at)->second.record;
}

Arc DirectoryView::arc_from(uint64_t first, size_t entries_max) const {
  if (peers_.size() <= entries_max) return {first, first - 1};  // the whole ring
  auto at = peers_.lower_bound(first);
  for (size_t i = 0; i < entries_max; ++i) {
    if (at == peers_.end()) at = peers_.begin();
    ++at;
  }
  return {first, (at == peers_.end() ? peers_.begin() : at)->first - 1};
}

std::vector<DigestEntry> DirectoryView::digest(const Arc& arc) const {
  std::vector<DigestEntry> digest;
  auto at = peers_.lower_bound(arc.first);
  for (size_t i = 0; i < peers_.size(); ++i, ++at) {
    if (at == peers_.end()) at = peers_.begin();
    if (!arc.holds(at->first)) break;
    digest.push_back({at->first, at->second.record->sequence});
  }
  return digest;
}

// Null: what the entry names is as fresh as ours. Tombstones count: they tell a peer of its own earlier life.
const Payload* DirectoryView::fresher_than(const DigestEntry& entry, int64_t now_ns) const {
  if (const auto known = peers_.find(entry.place); known != peers_.end()) {
    const bool fresher =
        known->second.record->sequence > entry.sequence && now_ns < known->second.pass_on_until_ns;
    return fresher ? &known->second.bytes : nullptr;
  }
  const auto tombstone = tombstones_.find(entry.place);
  const bool fresher = tombstone != tombstones_.end() && tombstone->second.sequence > entry.sequence;
  return fresher ? &tombstone->second.bytes : nullptr;
}

DirectoryView::Difference DirectoryView::difference(const Arc& arc, std::span<const DigestEntry> digest,
                                                    size_t bytes_max, uint64_t start, int64_t now_ns) const {
  Difference difference;
  std::vector<const Payload*> fresher;
  std::unordered_set<uint64_t> named;
  for (const DigestEntry& entry : digest) {
    if (!named.insert(entry.place).second) continue;
    if (const Payload* ours = fresher_than(entry, now_ns)) {
      fresher.push_back(ours);
    } else if (lacks(entry)) {
      difference.wanted.push_back(entry.place);
    }
  }
  auto at = peers_.lower_bound(arc.first);
  for (size_t i = 0; i < peers_.size(); ++i, ++at) {
    if (at == peers_.end()) at = peers_.begin();
    if (!arc.holds(at->first)) break;
    if (!named.contains(at->first) && now_ns < at->second.pass_on_until_ns)
      fresher.push_back(&at->second.bytes);
  }
  for (size_t i = 0; i < fresher.size(); ++i) {
    const Payload& bytes = *fresher[(start + i) % fresher.size()];
    if (bytes.size() > bytes_max) break;
    bytes_max -= bytes.size();
    difference.fresher.push_back(bytes);
  }
  return difference;
}

bool DirectoryView::lacks(const DigestEntry& entry) const {
  if (const auto known = peers_.find(entry.place); known != peers_.end()) {
    return known->second.record->sequence < entry.sequence;
  }
  const auto tombstone = tombstones_.find(entry.place);
  if (tombstone != tombstones_.end()) return tombstone->second.sequence < entry.sequence;
  return peers_.size() < settings_.peers_max;
}

std::vector<Payload> DirectoryView::records_at(std::span<const uint64_t> places, size_t bytes_max) const {
  std::vector<Payload> records;
  for (const uint64_t place : places) {
    const auto known = peers_.find(place);
    const auto tombstone = tombstones_.find(place);
    if (known == peers_.end() && tombstone == tombstones_.end()) continue;
    const Payload& bytes = known != peers_.end() ? known->second.bytes : tombstone->second.bytes;
    if (bytes.size() > bytes_max) break;
    bytes_max -= bytes.size();
    records.push_back(bytes);
  }
  return records;
}

}  // namespace agora::peers
