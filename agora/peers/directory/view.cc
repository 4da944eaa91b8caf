#include "agora/peers/directory/view.h"

#include <algorithm>
#include <unordered_set>

#include "agora/base/loop.h"

namespace agora::peers {
namespace {

constexpr double kPassedOnShare = 2.0 / 3;  // of a record's time; its peer refreshes it at half

int64_t ttl_ns(const Record& record) { return record.ttl_s * base::kSecondNs; }

bool same(const SignedRecord& a, const SignedRecord& b) {
  return &a == &b || std::ranges::equal(a.bytes.bytes(), b.bytes.bytes());
}

// Of the record alone, kept alive by what it is a part of.
std::shared_ptr<const Record> record_of(std::shared_ptr<const SignedRecord> kept) {
  const Record* record = &kept->record;
  return {std::move(kept), record};
}

}  // namespace

uint64_t ring_place(const PeerId& peer) { return base::load_be<uint64_t>(peer.bytes.data()); }

Verdict DirectoryView::take(base::Bytes bytes, int64_t now_ns, std::vector<DirectoryEvent>* events,
                            bool make_room) {
  if (bytes.size() > kRecordBytesMax) return count(Verdict::oversized);
  StatusOr<Kept> fresh = reader_->read(bytes);
  if (!fresh.ok()) return count(Verdict::malformed);
  const Verdict verdict = check(**fresh, make_room);
  if (verdict == Verdict::taken) put(*std::move(fresh), now_ns, events);
  return count(verdict);
}

// Cheap refusals first: a signature is checked only where it decides.
Verdict DirectoryView::check(const SignedRecord& fresh, bool make_room) const {
  const Record& record = fresh.record;
  if (record.swarm != settings_.swarm) return Verdict::foreign;
  if (record.peer == settings_.self) {
    return reader_->holds(fresh) ? Verdict::own : Verdict::forged;
  }
  const uint64_t place = ring_place(record.peer);
  if (const auto known = peers_.find(place); known != peers_.end()) {
    const Record& ours = known->second.kept->record;
    if (ours.peer != record.peer) return Verdict::over_limit;  // one in 2^64
    if (record.sequence < ours.sequence) return Verdict::stale;
    if (same(fresh, *known->second.kept)) return Verdict::known;
    if (!reader_->holds(fresh)) return Verdict::forged;
    return record.sequence == ours.sequence ? Verdict::stale : Verdict::taken;
  }
  if (const auto tombstone = tombstones_.find(place); tombstone != tombstones_.end()) {
    if (record.sequence <= tombstone->second->record.sequence) return Verdict::stale;
  }
  if (!has_room_for(record, make_room)) return Verdict::over_limit;
  return reader_->holds(fresh) ? Verdict::taken : Verdict::forged;
}

bool DirectoryView::has_room_for(const Record& record, bool make_room) const {
  if (record.leaving) return true;  // it takes none
  if (matters(record)) return mattering() < settings_.peers_max;
  return others_.size() < settings_.others_max || (make_room && !others_.empty());
}

bool DirectoryView::is_news(const DirectoryEvent& event) const {
  const auto known = peers_.find(ring_place(event.record->peer));
  const bool matters = known != peers_.end() ? known->second.matters : this->matters(*event.record);
  return matters || (!crowded_ && event.kind != DirectoryEvent::Kind::changed);
}

void DirectoryView::classify(uint64_t place, bool matters) {
  if (matters) {
    others_.erase(place);
  } else {
    others_.insert(place);
  }
  if (others_.size() >= settings_.others_max) crowded_ = true;
  // Far apart: the sample that a view keeps of a large swarm is less than others_max, and is no small swarm.
  if (others_.size() <= settings_.others_max / 8) crowded_ = false;
}

int64_t DirectoryView::Known::pass_on_until_ns() const {
  const double after = static_cast<double>(ttl_ns(kept->record)) * (1 - kPassedOnShare);
  return expires_ns - static_cast<int64_t>(after);
}

void DirectoryView::put(Kept fresh, int64_t now_ns, std::vector<DirectoryEvent>* events) {
  if (fresh->record.leaving) return bury(std::move(fresh), events);
  const uint64_t place = ring_place(fresh->record.peer);
  const auto before = peers_.find(place);
  // That somebody matters no longer is for all to know, too.
  const bool matters =
      this->matters(fresh->record) || (before != peers_.end() && this->matters(before->second.kept->record));
  if (!matters && others_.size() >= settings_.others_max && !others_.contains(place)) {
    const auto next = others_.upper_bound(place);  // as good as any: places are random
    forget_other(next == others_.end() ? *others_.begin() : *next, events);
  }
  const auto [at, is_new] = peers_.try_emplace(place);
  Known& known = at->second;
  if (!is_new) expiries_.erase({known.expires_ns, place});
  known.kept = std::move(fresh);
  known.matters = matters;
  classify(place, matters);
  known.expires_ns = now_ns + ttl_ns(known.kept->record);
  expiries_.emplace(known.expires_ns, place);
  tombstones_.erase(place);
  events->push_back(
      {is_new ? DirectoryEvent::Kind::seen : DirectoryEvent::Kind::changed, record_of(known.kept)});
}

void DirectoryView::expire(int64_t now_ns, std::vector<DirectoryEvent>* events) {
  while (next_expiry_ns() <= now_ns) {
    ++counters_.expired;
    bury(Kept(peers_.at(expiries_.begin()->second).kept), events);
  }
}

// Without a tombstone: it may be well, and come back.
void DirectoryView::forget_other(uint64_t place, std::vector<DirectoryEvent>* events) {
  const auto known = peers_.find(place);
  events->push_back({DirectoryEvent::Kind::gone, record_of(known->second.kept)});
  expiries_.erase({known->second.expires_ns, place});
  peers_.erase(known);
  others_.erase(place);
}

void DirectoryView::bury(Kept last, std::vector<DirectoryEvent>* events) {
  const uint64_t place = ring_place(last->record.peer);
  if (const auto known = peers_.find(place); known != peers_.end()) {
    events->push_back({DirectoryEvent::Kind::gone, record_of(known->second.kept)});
    expiries_.erase({known->second.expires_ns, place});
    peers_.erase(known);
    classify(place, /*matters=*/true);
  }
  tombstones_[place] = std::move(last);
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
  for (const auto& [place, known] : peers_) records.push_back(record_of(known.kept));
  return records;
}

std::shared_ptr<const Record> DirectoryView::find(const PeerId& peer) const {
  const auto known = peers_.find(ring_place(peer));
  if (known == peers_.end() || known->second.kept->record.peer != peer) return nullptr;
  return record_of(known->second.kept);
}

bool DirectoryView::is_aging(const PeerId& peer, int64_t now_ns) const {
  const auto known = peers_.find(ring_place(peer));
  return known != peers_.end() && now_ns >= known->second.pass_on_until_ns();
}

std::shared_ptr<const Record> DirectoryView::at_or_after(uint64_t place) const {
  if (peers_.empty()) return nullptr;
  if (crowded_) {
    const auto other = others_.lower_bound(place);
    place = other == others_.end() ? *others_.begin() : *other;
  }
  const auto at = peers_.lower_bound(place);
  return record_of((at == peers_.end() ? peers_.begin() : at)->second.kept);
}

std::vector<Payload> DirectoryView::sample(uint64_t place, size_t count, int64_t now_ns) const {
  std::vector<Payload> records;
  if (!crowded_) return records;
  auto at = others_.lower_bound(place);
  for (size_t i = 0; i < std::min(count, others_.size()); ++i, ++at) {
    if (at == others_.end()) at = others_.begin();
    const Known& known = peers_.at(*at);
    if (now_ns < known.pass_on_until_ns()) records.push_back(known.kept->bytes);
  }
  return records;
}

Arc DirectoryView::arc_from(uint64_t first, size_t entries_max) const {
  const size_t count = crowded_ ? mattering() : peers_.size();
  if (count <= entries_max) return {first, first - 1};  // the whole ring
  auto at = peers_.lower_bound(first);
  for (size_t i = 0; i < entries_max; ++at) {
    if (at == peers_.end()) at = peers_.begin();
    i += passes_on(at->second) ? 1 : 0;
  }
  return {first, (at == peers_.end() ? peers_.begin() : at)->first - 1};
}

std::vector<DigestEntry> DirectoryView::digest(const Arc& arc) const {
  std::vector<DigestEntry> digest;
  auto at = peers_.lower_bound(arc.first);
  for (size_t i = 0; i < peers_.size(); ++i, ++at) {
    if (at == peers_.end()) at = peers_.begin();
    if (!arc.holds(at->first)) break;
    if (!passes_on(at->second)) continue;
    digest.push_back({at->first, at->second.kept->record.sequence});
  }
  return digest;
}

// Null: what the entry names is as fresh as ours. Tombstones count: they tell a peer of its own earlier life.
const Payload* DirectoryView::fresher_than(const DigestEntry& entry, int64_t now_ns) const {
  if (const auto known = peers_.find(entry.place); known != peers_.end()) {
    const bool fresher =
        known->second.kept->record.sequence > entry.sequence && now_ns < known->second.pass_on_until_ns();
    return fresher ? &known->second.kept->bytes : nullptr;
  }
  const auto tombstone = tombstones_.find(entry.place);
  const bool fresher = tombstone != tombstones_.end() && tombstone->second->record.sequence > entry.sequence;
  return fresher ? &tombstone->second->bytes : nullptr;
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
    if (!named.contains(at->first) && passes_on(at->second) && now_ns < at->second.pass_on_until_ns())
      fresher.push_back(&at->second.kept->bytes);
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
    return known->second.kept->record.sequence < entry.sequence;
  }
  const auto tombstone = tombstones_.find(entry.place);
  if (tombstone != tombstones_.end()) return tombstone->second->record.sequence < entry.sequence;
  // A stranger in a crowded view most likely does not matter; if it does, our own requests bring it.
  return !crowded_ && mattering() < settings_.peers_max;
}

std::vector<Payload> DirectoryView::records_at(std::span<const uint64_t> places, size_t bytes_max) const {
  std::vector<Payload> records;
  for (const uint64_t place : places) {
    const auto known = peers_.find(place);
    const auto tombstone = tombstones_.find(place);
    if (known == peers_.end() && tombstone == tombstones_.end()) continue;
    const Payload& bytes = known != peers_.end() ? known->second.kept->bytes : tombstone->second->bytes;
    if (bytes.size() > bytes_max) break;
    bytes_max -= bytes.size();
    records.push_back(bytes);
  }
  return records;
}

}  // namespace agora::peers
