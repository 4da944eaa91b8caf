// How records travel by the DHT: who is announced is looked up there, and called where nothing true is found.
#include <algorithm>
#include <set>
#include <utility>

#include "agora/peers/directory/directory_limits.h"
#include "agora/peers/directory/swarm_directory.h"

namespace agora::peers {

void SwarmDirectory::use_dht() {
  const int64_t now_ns = loop_.now_ns();
  const int64_t ttl_ns = own_.ttl_s() * base::kSecondNs;
  const int64_t alone_max_ns = ttl_ns / kDhtAloneTtlShare;
  if (alone()) dht_next_ns_ = std::min(dht_next_ns_, now_ns + alone_max_ns);  // it was in contact until now
  if (now_ns < dht_next_ns_ || !may_use_dht()) return;
  dht_wait_ns_ = alone() ? std::min(2 * dht_wait_ns_, alone_max_ns) : ttl_ns / kDhtTtlShare;
  dht_next_ns_ = now_ns + spread(dht_wait_ns_);
  if (!own_.empty()) {
    dht_.announce(own_.swarm(), own_.endpoint());
    put_in_dht();
  }
  dht_.find(own_.swarm(), [weak = weak_from_this()](const std::vector<Endpoint>& endpoints) {
    if (const auto self = weak.lock()) self->on_found(endpoints);
  });
}

// Who is in contact has no need of the table, and a thousand that start together would all enter it at once.
bool SwarmDirectory::may_use_dht() {
  if (dht_entered_) {
    if (alone()) enter_dht();  // whom its node knew may all be gone
    return true;
  }
  if (!alone() && !std::exchange(dht_waited_, true)) {
    const double wait_ns = static_cast<double>(own_.ttl_s() * base::kSecondNs / kDhtTtlShare);
    dht_next_ns_ = loop_.now_ns() + static_cast<int64_t>(rng_.uniform_double() * wait_ns);
    return false;
  }
  enter_dht();
  dht_next_ns_ = loop_.now_ns() + kDhtEnterNs;
  return false;
}

void SwarmDirectory::enter_dht() {
  dht_entered_ = true;
  for (const Seed& seed : seeds_) dht_.join(seed.at);
  for (const PeerId& contact : contacts_.draw(kDhtDoors, rng_)) {
    if (const Endpoint at = endpoint_of(contact); !at.empty()) dht_.join(at);
  }
}

void SwarmDirectory::put_in_dht() {
  const base::Bytes bytes = own_.bytes().bytes();
  dht_.put(own_.swarm(), own_.endpoint(), {bytes.begin(), bytes.end()});
}

void SwarmDirectory::on_found(const std::vector<Endpoint>& endpoints) {
  std::set<Endpoint> fresh{own_.endpoint()};  // nothing to look up there
  {
    base::MutexLock lock(mutex_);
    for (const auto& record : view_.records()) {
      if (!view_.is_aging(record->peer, loop_.now_ns())) fresh.insert(record->endpoint);
    }
  }
  fresh.insert(lookups_.begin(), lookups_.end());
  std::erase_if(silent_, [&](const auto& entry) { return entry.second <= loop_.now_ns(); });
  for (const auto& [endpoint, until_ns] : silent_) fresh.insert(endpoint);
  const size_t queued_max = alone() ? kLookupsQueuedMax : kLookupsInContact;
  for (const Endpoint& endpoint : endpoints) {
    if (lookups_.size() < queued_max && fresh.insert(endpoint).second) lookups_.push_back(endpoint);
  }
  look_up();
}

// Who is alone may be cut off itself, and blames nobody.
void SwarmDirectory::note_silent(const Endpoint& at) {
  if (!alone() && silent_.size() < kSilentMax) silent_[at] = loop_.now_ns() + kSilentNs;
}

void SwarmDirectory::look_up() {
  if (!alone() && lookups_.size() > kLookupsInContact) lookups_.resize(kLookupsInContact);
  while (lookups_open_ < kLookupsMax && !lookups_.empty() && !leaving_) {
    const Endpoint at = std::move(lookups_.front());
    lookups_.pop_front();
    ++lookups_open_;
    dht_.get(own_.swarm(), at, [weak = weak_from_this(), at](std::vector<std::byte> bytes) {
      if (const auto self = weak.lock()) self->on_got(at, std::move(bytes));
    });
  }
}

void SwarmDirectory::on_got(const Endpoint& at, std::vector<std::byte> bytes) {
  --lookups_open_;
  // Nobody has the record, somebody wrote something else in its place, or the announcement showed another
  // address than the peer gives itself: the peer is asked.
  const bool holds = !bytes.empty() && take({Payload::own(std::move(bytes))}).holds;
  if (!holds) exchange({}, at);
  look_up();
}

}  // namespace agora::peers
