// Records, our own and others'. directory_contact.cc: how they travel between peers; directory_lookups.cc: by
// the DHT.
#include "agora/peers/directory/swarm_directory.h"

#include <algorithm>
#include <set>
#include <utility>

#include "agora/peers/directory/directory_limits.h"

namespace agora::peers {
namespace {

Record own_fields(const SwarmDirectorySettings& settings, const Transport& transport) {
  Record fields;
  fields.swarm = settings.swarm;
  fields.endpoint = settings.endpoint.empty() ? transport.endpoint() : settings.endpoint;
  fields.ttl_s = settings.ttl_s;
  return fields;
}

}  // namespace

std::shared_ptr<SwarmDirectory> SwarmDirectory::create(const SwarmDirectorySettings& settings,
                                                       Identity identity, base::Loop& loop,
                                                       Transport& transport, Dht& dht) {
  return create(settings, std::make_shared<const Identity>(std::move(identity)), loop, transport, dht,
                std::make_shared<Ed25519Reader>());
}

std::shared_ptr<SwarmDirectory> SwarmDirectory::create(const SwarmDirectorySettings& settings,
                                                       std::shared_ptr<const Signer> signer, base::Loop& loop,
                                                       Transport& transport, Dht& dht,
                                                       std::shared_ptr<RecordReader> reader) {
  std::shared_ptr<SwarmDirectory> directory(
      new SwarmDirectory(settings, std::move(signer), loop, transport, dht, std::move(reader)));
  directory->serve();
  directory->after(0, &SwarmDirectory::tick);
  return directory;
}

SwarmDirectory::SwarmDirectory(const SwarmDirectorySettings& settings, std::shared_ptr<const Signer> signer,
                               base::Loop& loop, Transport& transport, Dht& dht,
                               std::shared_ptr<RecordReader> reader)
    : settings_(settings),
      loop_(loop),
      transport_(transport),
      dht_(dht),
      waiting_calls_(std::make_shared<WaitingCalls>(kCallsWaitingMax)),
      view_({.swarm = settings.swarm,
             .self = peer_id_of(signer->public_key()),
             .peers_max = settings.peers_max,
             .matters = settings.matters_to_all},
            std::move(reader)),
      rng_(settings.seed),
      own_(own_fields(settings, transport), std::move(signer), settings.first_sequence),
      sent_ns_(loop.now_ns() - kPublishEveryNs),
      contact_ns_(loop.now_ns() - kAloneNs),
      contacts_new_ns_(loop.now_ns()),
      tick_wait_ns_(kTickBusyNs),
      dht_next_ns_(loop.now_ns() + kDhtFirstNs),
      dht_wait_ns_(kDhtAloneNs) {}

void SwarmDirectory::after(int64_t delay_ns, void (SwarmDirectory::*step)()) {
  loop_.after(delay_ns, [weak = weak_from_this(), step] {
    if (const auto self = weak.lock()) (self.get()->*step)();
  });
}

int64_t SwarmDirectory::spread(int64_t ns) {
  return static_cast<int64_t>(static_cast<double>(ns) * (0.8 + 0.4 * rng_.uniform_double()));
}

bool SwarmDirectory::alone() const { return loop_.now_ns() - contact_ns_ >= kAloneNs; }

// ---- Our own

void SwarmDirectory::publish(std::string body) {
  if (own_.says(body)) return;
  if (own_.set_body(std::move(body))) return send_own_soon();
  base::MutexLock lock(mutex_);
  ++own_refused_;
}

void SwarmDirectory::send_own_soon() {
  if (sending_soon_ || leaving_) return;
  sending_soon_ = true;
  const int64_t wait_ns = own_.empty() ? 0 : sent_ns_ + publish_every_ns() - loop_.now_ns();
  after(std::max<int64_t>(wait_ns, 0), &SwarmDirectory::send_own);
}

int64_t SwarmDirectory::publish_every_ns() const {
  base::MutexLock lock(mutex_);
  const size_t factor =
      std::clamp<size_t>(view_.mattering() / kChangesShared, 1, std::max(settings_.ttl_s / 4, 1U));
  return static_cast<int64_t>(factor) * kPublishEveryNs;
}

uint32_t SwarmDirectory::ttl_s() const {
  base::MutexLock lock(mutex_);
  const size_t factor = std::clamp<size_t>(view_.mattering() / kRefreshesShared, 1, kTtlFactorMax);
  // A time to live that no record may have is refused where it is signed.
  return std::max(std::min(settings_.ttl_s * static_cast<uint32_t>(factor), kRecordTtlMaxS), settings_.ttl_s);
}

void SwarmDirectory::send_own() {
  sending_soon_ = false;
  if (leaving_) return;
  if (own_.empty()) {  // from now on there is something to say
    dht_next_ns_ = loop_.now_ns() + kDhtFirstNs;
    dht_waited_ = false;
  }
  own_.set_ttl_s(ttl_s());
  if (!own_.sign_next().ok()) {
    base::MutexLock lock(mutex_);
    ++own_refused_;
    return;
  }
  sent_ns_ = loop_.now_ns();
  loop_.cancel(refresh_timer_);
  refresh_timer_ = loop_.after(spread(own_.ttl_s() * base::kSecondNs * 2 / 5), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->send_own_soon();
  });
  const Payload records = encode_records({own_.bytes()});
  for (const PeerId& contact : contacts_.all()) push(contact, records, [] {});
}

void SwarmDirectory::leave(std::function<void()> done) {
  loop_.cancel(refresh_timer_);
  const bool said_anything = !own_.empty();
  const bool told_before = std::exchange(leaving_, true);
  if (told_before || !said_anything || !own_.sign_next(/*leaving=*/true).ok())
    return loop_.post(std::move(done));
  put_in_dht();
  const std::vector<PeerId> contacts = contacts_.all();
  const auto once = std::make_shared<std::function<void()>>(std::move(done));
  const auto end = [once] {
    if (const auto run = std::exchange(*once, nullptr)) run();
  };
  const auto silent = std::make_shared<size_t>(contacts.size());
  const Payload records = encode_records({own_.bytes()});
  for (const PeerId& contact : contacts) {
    push(contact, records, [silent, end] {
      if (--*silent == 0) end();
    });
  }
  loop_.after(contacts.empty() ? 0 : kLeaveNs, end);
}

// ---- Others'

void SwarmDirectory::subscribe(Listener listener) {
  for (const auto& record : records()) listener({DirectoryEvent::Kind::seen, record});
  listeners_.push_back(std::move(listener));
}

std::vector<std::shared_ptr<const Record>> SwarmDirectory::records() const {
  base::MutexLock lock(mutex_);
  return view_.records();
}

DirectoryCounters SwarmDirectory::counters() const {
  base::MutexLock lock(mutex_);
  DirectoryCounters counters = view_.counters();
  counters.messages_refused = messages_refused_;
  counters.own_refused = own_refused_;
  return counters;
}

uint64_t SwarmDirectory::reserve_end() const {
  base::MutexLock lock(mutex_);
  return view_.reserve_end();
}

SwarmDirectory::Taken SwarmDirectory::take(const std::vector<Payload>& records, const PeerId& caller) {
  Taken taken;
  bool own_is_behind = false;
  std::vector<DirectoryEvent> events;
  std::set<PeerId> heard;
  for (const Payload& record : records) {
    if (std::ranges::equal(record.bytes(), own_.bytes().bytes())) {  // others pass it on as we do theirs
      taken.holds = true;
      continue;
    }
    base::MutexLock lock(mutex_);
    const size_t before = events.size();
    const Verdict verdict = view_.take(record.bytes(), loop_.now_ns(), &events, caller);
    // Nobody has two records of a peer. Each that is fresher than the one before would be checked and told.
    const bool told = verdict == Verdict::taken && events.size() > before;
    if (told && !heard.insert(events.back().record->peer).second) {
      ++messages_refused_;
      break;
    }
    taken.foreign = taken.foreign || verdict == Verdict::foreign;
    taken.holds = taken.holds || verdict == Verdict::taken || verdict == Verdict::known ||
                  verdict == Verdict::stale || verdict == Verdict::own;
    if (verdict == Verdict::own && own_.on_seen(record.bytes())) own_is_behind = true;
    // Who passes on one forged record is not worth the checks of the rest.
    if (verdict == Verdict::forged) break;
  }
  if (own_is_behind) send_own_soon();
  taken.strangers = add_rumors(events);
  expire_in_time();
  tell(events);
  return taken;
}

bool SwarmDirectory::add_rumors(const std::vector<DirectoryEvent>& events) {
  bool strangers = false;
  base::MutexLock lock(mutex_);
  for (const DirectoryEvent& event : events) {
    if (!view_.is_news(event)) continue;
    rumors_.add(ring_place(event.record->peer));
    strangers = strangers || event.kind == DirectoryEvent::Kind::seen;
  }
  if (!rumors_.empty()) push_rumors_soon();
  return strangers;
}

void SwarmDirectory::tell(const std::vector<DirectoryEvent>& events) {
  for (const DirectoryEvent& event : events) {
    if (event.kind == DirectoryEvent::Kind::gone) contacts_.drop(event.record->peer);
    for (const Listener& listener : listeners_) listener(event);
  }
}

void SwarmDirectory::expire() {
  expiry_ns_ = INT64_MAX;
  std::vector<DirectoryEvent> events;
  {
    base::MutexLock lock(mutex_);
    view_.expire(loop_.now_ns(), &events);
  }
  expire_in_time();
  tell(events);
}

void SwarmDirectory::expire_in_time() {
  int64_t next_ns = 0;
  {
    base::MutexLock lock(mutex_);
    next_ns = view_.next_expiry_ns();
  }
  if (next_ns >= expiry_ns_) return;
  loop_.cancel(expiry_timer_);
  expiry_ns_ = next_ns;
  expiry_timer_ = loop_.at(next_ns, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->expire();
  });
}

}  // namespace agora::peers
