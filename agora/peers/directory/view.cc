#include "agora/peers/directory/view.h"

#include <algorithm>

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
                            const PeerId& caller) {
  if (bytes.size() > kRecordBytesMax) return count(Verdict::oversized);
  StatusOr<Kept> fresh = reader_->read(bytes);
  if (!fresh.ok()) return count(Verdict::malformed);
  const PeerId peer = (*fresh)->record.peer;
  const Verdict verdict = check(**fresh, caller);
  if (verdict == Verdict::taken) put(*std::move(fresh), now_ns, events);
  const bool here = verdict == Verdict::taken || verdict == Verdict::known;
  if (here && peer == caller) note_called(ring_place(peer));
  return count(verdict);
}

// Cheap refusals first: a signature is checked only where it decides.
Verdict DirectoryView::check(const SignedRecord& fresh, const PeerId& caller) const {
  const Record& record = fresh.record;
  if (record.swarm != settings_.swarm) return Verdict::foreign;
  if (record.peer == settings_.self) {
    return reader_->holds(fresh) ? Verdict::own : Verdict::forged;
  }
  const uint64_t place = ring_place(record.peer);
  if (const auto known = at(place); known != peers_.end()) {
    if (known->kept.get() == &fresh) return Verdict::known;
    if (known->kept->record.peer != record.peer) return Verdict::over_limit;  // one in 2^64
    if (record.sequence < known->sequence) return Verdict::stale;
    if (same(fresh, *known->kept)) return Verdict::known;
    if (!reader_->holds(fresh)) return Verdict::forged;
    return record.sequence == known->sequence ? Verdict::stale : Verdict::taken;
  }
  if (const auto tombstone = tombstones_.find(place); tombstone != tombstones_.end()) {
    if (record.sequence <= tombstone->second->record.sequence) return Verdict::stale;
  }
  if (!has_room_for(record, caller)) return Verdict::over_limit;
  return reader_->holds(fresh) ? Verdict::taken : Verdict::forged;
}

bool DirectoryView::has_room_for(const Record& record, const PeerId& caller) const {
  if (record.leaving) return true;  // it takes none
  if (matters(record)) return mattering() < settings_.peers_max;
  if (others_.size() < settings_.others_max) return true;
  return !others_.empty() && (record.peer == caller || ring_place(record.peer) < reserve_end_);
}

bool DirectoryView::is_news(const DirectoryEvent& event) const {
  const uint64_t place = ring_place(event.record->peer);
  const auto known = at(place);
  const bool matters = known != peers_.end() ? known->matters : this->matters(*event.record);
  return matters || (place <= reserve_end_ && event.kind != DirectoryEvent::Kind::changed);
}

DirectoryView::Peers::const_iterator DirectoryView::first_from(uint64_t place) const {
  return std::ranges::lower_bound(peers_, place, {}, &Known::place);
}

DirectoryView::Peers::const_iterator DirectoryView::at(uint64_t place) const {
  const auto known = first_from(place);
  return known != peers_.end() && known->place == place ? known : peers_.end();
}

void DirectoryView::erase(uint64_t place) {
  peers_.erase(at(place));
  classify(place, /*matters=*/true);
}

// Others are counted by their places. matters: it is none of them, or is here no more.
void DirectoryView::classify(uint64_t place, bool matters) {
  const auto other = std::ranges::lower_bound(others_, place);
  const bool counted = other != others_.end() && *other == place;
  if (matters && counted) others_.erase(other);
  if (!matters && !counted) others_.insert(other, place);
  if (others_.size() >= settings_.others_max) crowded_ = true;
  // Far apart: the sample that a view keeps of a large swarm is less than others_max, and is no small swarm.
  if (others_.size() <= settings_.others_max / 8) crowded_ = false;
  const size_t reserve = reserve_max();
  reserve_end_ = crowded_ && others_.size() > reserve ? others_[reserve - 1] : UINT64_MAX;
}

void DirectoryView::put(Kept fresh, int64_t now_ns, std::vector<DirectoryEvent>* events) {
  if (fresh->record.leaving) return bury(std::move(fresh), events);
  const uint64_t place = ring_place(fresh->record.peer);
  const auto before = at(place);
  const bool is_new = before == peers_.end();
  // That somebody matters no longer is for all to know, too.
  const bool matters = this->matters(fresh->record) || (!is_new && this->matters(before->kept->record));
  if (!matters && others_.size() >= settings_.others_max && !std::ranges::binary_search(others_, place)) {
    forget_other_for(place, events);
  }
  const int64_t ttl = ttl_ns(fresh->record);
  const Known known{.place = place,
                    .sequence = fresh->record.sequence,
                    .expires_ns = now_ns + ttl,
                    .pass_on_until_ns =
                        now_ns + ttl - static_cast<int64_t>(static_cast<double>(ttl) * (1 - kPassedOnShare)),
                    .matters = matters,
                    .kept = std::move(fresh)};
  next_expiry_ns_ = std::min(next_expiry_ns_, known.expires_ns);
  events->push_back(
      {is_new ? DirectoryEvent::Kind::seen : DirectoryEvent::Kind::changed, record_of(known.kept)});
  const auto where = peers_.begin() + (first_from(place) - peers_.cbegin());
  if (is_new) {
    peers_.insert(where, known);
  } else {
    *where = known;
  }
  classify(place, matters);
  tombstones_.erase(place);
}

void DirectoryView::note_called(uint64_t place) {
  if (const auto known = at(place); known != peers_.end()) {
    peers_[static_cast<size_t>(known - peers_.cbegin())].called = true;
  }
}

void DirectoryView::expire(int64_t now_ns, std::vector<DirectoryEvent>* events) {
  if (now_ns < next_expiry_ns_) return;
  std::vector<std::pair<int64_t, Kept>> due;
  next_expiry_ns_ = INT64_MAX;
  for (const Known& known : peers_) {
    if (known.expires_ns <= now_ns) {
      due.emplace_back(known.expires_ns, known.kept);
    } else {
      next_expiry_ns_ = std::min(next_expiry_ns_, known.expires_ns);
    }
  }
  std::ranges::stable_sort(due, {}, [](const auto& at) { return at.first; });
  counters_.expired += due.size();
  for (auto& [expired_ns, kept] : due) bury(std::move(kept), events);
}

// The next one after the place is as good as any, for places are random; but none of the reserve. It leaves
// no tombstone: it may be well, and come back.
void DirectoryView::forget_other_for(uint64_t place, std::vector<DirectoryEvent>* events) {
  const auto next = static_cast<size_t>(std::ranges::upper_bound(others_, place) - others_.begin());
  const size_t index = next < others_.size() ? std::max(next, reserve_max()) : reserve_max();
  const uint64_t forgotten = others_[std::min(index, others_.size() - 1)];
  events->push_back({DirectoryEvent::Kind::gone, record_of(at(forgotten)->kept)});
  erase(forgotten);
}

void DirectoryView::bury(Kept last, std::vector<DirectoryEvent>* events) {
  const uint64_t place = ring_place(last->record.peer);
  if (const auto known = at(place); known != peers_.end()) {
    events->push_back({DirectoryEvent::Kind::gone, record_of(known->kept)});
    erase(place);
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
  for (const Known& known : peers_) records.push_back(record_of(known.kept));
  return records;
}

bool DirectoryView::knows(const Endpoint& endpoint) const {
  return std::ranges::any_of(peers_,
                             [&](const Known& known) { return known.kept->record.endpoint == endpoint; });
}

std::shared_ptr<const Record> DirectoryView::find(const PeerId& peer) const {
  const auto known = at(ring_place(peer));
  if (known == peers_.end() || known->kept->record.peer != peer) return nullptr;
  return record_of(known->kept);
}

bool DirectoryView::is_aging(const PeerId& peer, int64_t now_ns) const {
  const auto known = at(ring_place(peer));
  return known != peers_.end() && now_ns >= known->pass_on_until_ns;
}

std::shared_ptr<const Record> DirectoryView::somebody(uint64_t place) const {
  if (peers_.empty()) return nullptr;
  if (crowded_ && others_.back() > reserve_end_) {
    // Into the places from behind the reserve to the last one's, each as likely.
    const auto part = static_cast<unsigned __int128>(place) * (others_.back() - reserve_end_) >> 64;
    place = *std::ranges::lower_bound(others_, reserve_end_ + 1 + static_cast<uint64_t>(part));
  }
  const auto known = first_from(place);
  return record_of((known == peers_.end() ? peers_.begin() : known)->kept);
}

std::vector<Payload> DirectoryView::sample(uint64_t place, size_t count, int64_t now_ns) const {
  std::vector<Payload> records;
  if (!crowded_) return records;
  const auto start = std::ranges::lower_bound(others_, place) - others_.begin();
  const auto add = [&](bool called, size_t until) {
    for (size_t i = 0; i < others_.size() && records.size() < until; ++i) {
      const Known& known = *at(others_[(static_cast<size_t>(start) + i) % others_.size()]);
      if (known.called == called && now_ns < known.pass_on_until_ns) records.push_back(known.kept->bytes);
    }
  };
  add(true, count / 2);
  add(false, count);
  return records;
}

size_t DirectoryView::passed_on() const {
  if (!crowded_) return peers_.size();
  return mattering() + std::min(others_.size(), reserve_max());
}

Arc DirectoryView::arc_from(uint64_t first, size_t entries_max) const {
  if (passed_on() <= entries_max) return {first, first - 1};  // the whole ring
  auto known = first_from(first);
  for (size_t i = 0; i < entries_max; ++known) {
    if (known == peers_.end()) known = peers_.begin();
    i += passes_on(*known) ? 1 : 0;
  }
  return {first, (known == peers_.end() ? peers_.begin() : known)->place - 1};
}

std::vector<DigestEntry> DirectoryView::digest(const Arc& arc) const {
  std::vector<DigestEntry> digest;
  auto known = first_from(arc.first);
  for (size_t i = 0; i < peers_.size(); ++i, ++known) {
    if (known == peers_.end()) known = peers_.begin();
    if (!arc.holds(known->place)) break;
    if (passes_on(*known)) digest.push_back({known->place, known->sequence});
  }
  return digest;
}

// Null: what the entry names is as fresh as ours. Tombstones count: they tell a peer of its own earlier life.
const Payload* DirectoryView::fresher_than(const DigestEntry& entry, int64_t now_ns) const {
  if (const auto known = at(entry.place); known != peers_.end()) {
    const bool fresher = known->sequence > entry.sequence && now_ns < known->pass_on_until_ns;
    return fresher ? &known->kept->bytes : nullptr;
  }
  const auto tombstone = tombstones_.find(entry.place);
  const bool fresher = tombstone != tombstones_.end() && tombstone->second->record.sequence > entry.sequence;
  return fresher ? &tombstone->second->bytes : nullptr;
}

DirectoryView::Difference DirectoryView::difference(const Arc& arc, std::span<const DigestEntry> digest,
                                                    size_t bytes_max, uint64_t start, int64_t now_ns) const {
  Difference difference;
  std::vector<const Payload*> fresher;
  std::vector<DigestEntry> named(digest.begin(), digest.end());
  std::ranges::stable_sort(named, {}, &DigestEntry::place);
  const auto same_place = [](const DigestEntry& a, const DigestEntry& b) { return a.place == b.place; };
  named.erase(std::unique(named.begin(), named.end(), same_place), named.end());
  for (const DigestEntry& entry : named) {
    if (const Payload* ours = fresher_than(entry, now_ns)) {
      fresher.push_back(ours);
    } else if (lacks(entry)) {
      difference.wanted.push_back(entry.place);
    }
  }
  auto known = first_from(arc.first);
  for (size_t i = 0; i < peers_.size(); ++i, ++known) {
    if (known == peers_.end()) known = peers_.begin();
    if (!arc.holds(known->place)) break;
    if (!passes_on(*known) || now_ns >= known->pass_on_until_ns) continue;
    if (!std::ranges::binary_search(named, known->place, {}, &DigestEntry::place))
      fresher.push_back(&known->kept->bytes);
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
  if (const auto known = at(entry.place); known != peers_.end()) return known->sequence < entry.sequence;
  const auto tombstone = tombstones_.find(entry.place);
  if (tombstone != tombstones_.end()) return tombstone->second->record.sequence < entry.sequence;
  // A stranger in a crowded view most likely does not matter, unless it is of the reserve; if it does, our
  // own requests bring it.
  return entry.place <= reserve_end_ && mattering() < settings_.peers_max;
}

std::vector<Payload> DirectoryView::records_at(std::span<const uint64_t> places, size_t bytes_max,
                                               int64_t now_ns) const {
  std::vector<Payload> records;
  for (const uint64_t place : places) {
    const auto known = at(place);
    const auto tombstone = known != peers_.end() ? tombstones_.end() : tombstones_.find(place);
    if (known == peers_.end() && tombstone == tombstones_.end()) continue;
    if (known != peers_.end() && now_ns >= known->pass_on_until_ns) continue;
    const Payload& bytes = known != peers_.end() ? known->kept->bytes : tombstone->second->bytes;
    if (bytes.size() > bytes_max) break;
    bytes_max -= bytes.size();
    records.push_back(bytes);
  }
  return records;
}

}  // namespace agora::peers
