// How records travel between peers in contact: exchanges and pushes.
#include <algorithm>
#include <utility>

#include "agora/base/text.h"
#include "agora/peers/directory/directory_limits.h"
#include "agora/peers/directory/swarm_directory.h"

namespace agora::peers {

void SwarmDirectory::serve() {
  const auto on_loop = [this](void (SwarmDirectory::*handler)(IncomingCall&)) {
    return [&loop = loop_, weak = weak_from_this(), waiting = waiting_calls_,
            handler](std::shared_ptr<IncomingCall> call) {
      if (!waiting->enter(call->from())) {
        return call->reply(
            absl::ResourceExhaustedError("too many of this caller's calls wait; ask less often"));
      }
      loop.post([weak, waiting, handler, call = std::move(call)] {
        waiting->leave(call->from());
        const auto self = weak.lock();
        if (self != nullptr && !call->abandoned()) (self.get()->*handler)(*call);
      });
    };
  };
  transport_.serve(kExchangeMethod, on_loop(&SwarmDirectory::on_exchange));
  transport_.serve(kPushMethod, on_loop(&SwarmDirectory::on_push));
}

void SwarmDirectory::on_exchange(IncomingCall& call) {
  const StatusOr<ExchangeRequest> request = parse_exchange_request(call.payload());
  if (!request.ok()) {
    base::MutexLock lock(mutex_);
    ++messages_refused_;
    return call.reply(request.status());
  }
  if (take(request->records, call.from()).foreign) {
    return call.reply(absl::FailedPreconditionError(base::concat(
        "this peer is of swarm ", own_.swarm().text(), "; join it with that swarm's specification")));
  }
  contact_ns_ = loop_.now_ns();
  ExchangeReply reply;
  if (!own_.empty()) reply.records.push_back(own_.bytes());
  {
    base::MutexLock lock(mutex_);
    if (view_.find(call.from()) != nullptr) contacts_.on_called_by(call.from());
    const size_t bytes_max = kMessageRecordsBytesMax - (1 + kSampleRecords) * kRecordBytesMax;
    DirectoryView::Difference difference =
        view_.difference(request->arc, request->digest, bytes_max, rng_.next_u64(), loop_.now_ns());
    std::ranges::move(difference.fresher, std::back_inserter(reply.records));
    std::ranges::move(view_.sample(rng_.next_u64(), kSampleRecords, loop_.now_ns()),
                      std::back_inserter(reply.records));
    reply.wanted = std::move(difference.wanted);
  }
  call.reply(absl::OkStatus(), encode(reply));
}

void SwarmDirectory::on_push(IncomingCall& call) {
  const StatusOr<std::vector<Payload>> records = parse_records(call.payload());
  if (!records.ok()) {
    base::MutexLock lock(mutex_);
    ++messages_refused_;
    return call.reply(records.status());
  }
  contact_ns_ = loop_.now_ns();
  take(*records);
  // In a large swarm who is known to many is chosen by many, and all their news would come here. So who
  // pushes learns that it is no contact any more, and chooses another.
  call.reply(is_crowded() && !contacts_.has(call.from())
                 ? absl::ResourceExhaustedError("this peer has enough other contacts; choose another")
                 : absl::OkStatus());
}

// ---- Exchanges

void SwarmDirectory::tick() {
  if (leaving_) return;
  const bool chosen = choose_contact();
  call_seeds();
  if (!chosen) {
    for (const PeerId& peer : contacts_.draw(1, rng_)) exchange(peer, endpoint_of(peer));
  }
  use_dht();
  after(spread(tick_wait_ns_), &SwarmDirectory::tick);
  tick_wait_ns_ = std::min(2 * tick_wait_ns_, kTickNs);
}

bool SwarmDirectory::choose_contact() {
  std::shared_ptr<const Record> chosen;
  {
    base::MutexLock lock(mutex_);
    if (view_.size() > Contacts::kChosenMax && loop_.now_ns() - contacts_new_ns_ >= kContactsNewNs) {
      contacts_new_ns_ = loop_.now_ns();
      contacts_.drop_oldest_chosen();
    }
    // One at a time: connections cost more than news, and meanwhile others may call. While strangers come,
    // others do.
    const bool filling = tick_wait_ns_ < kTickNs;
    if (!(filling ? contacts_.needs_more() : contacts_.wants_more())) return false;
    chosen = view_.somebody(rng_.next_u64());
  }
  if (chosen == nullptr) return false;
  contacts_.choose(chosen->peer);
  exchange(chosen->peer, chosen->endpoint);  // so that it knows before our news comes
  return true;
}

void SwarmDirectory::join(const Endpoint& endpoint) {
  if (endpoint.empty() || endpoint == own_.endpoint()) return;
  if (dht_entered_) dht_.join(endpoint);
  std::erase_if(seeds_, [&](const Seed& seed) { return seed.at == endpoint; });
  if (seeds_.size() >= kSeedsMax) seeds_.erase(seeds_.begin());
  seeds_.push_back({endpoint, loop_.now_ns(), kSeedWaitNs});
  call_seeds();
}

// While alone, and now and then to somebody there whom we do not know: two parts of a swarm that lost each
// other meet again by it when the DHT is down.
void SwarmDirectory::call_seeds() {
  for (Seed& seed : seeds_) {
    if (seed.next_ns > loop_.now_ns()) continue;
    seed.next_ns = loop_.now_ns() + spread(seed.wait_ns);
    seed.wait_ns = std::min(2 * seed.wait_ns, kSeedWaitMaxNs);
    if (!knows(seed.at) || alone()) exchange({}, seed.at);
  }
}

bool SwarmDirectory::knows(const Endpoint& at) const {
  base::MutexLock lock(mutex_);
  return view_.knows(at);
}

bool SwarmDirectory::is_crowded() const {
  base::MutexLock lock(mutex_);
  return view_.crowded();
}

Payload SwarmDirectory::exchange_request() {
  ExchangeRequest request;
  base::MutexLock lock(mutex_);
  request.arc = view_.arc_from(rng_.next_u64(), kExchangeEntriesMax - 1);
  request.digest = view_.digest(request.arc);
  if (!own_.empty()) {
    request.records.push_back(own_.bytes());
    // Who knows of a later sequence of ours, from an earlier life, sends it back.
    request.digest.push_back({ring_place(transport_.self()), own_.sequence()});
  }
  return encode(request);
}

Endpoint SwarmDirectory::endpoint_of(const PeerId& peer) const {
  base::MutexLock lock(mutex_);
  const auto record = view_.find(peer);
  return record == nullptr ? Endpoint{} : record->endpoint;
}

void SwarmDirectory::exchange(const PeerId& to, const Endpoint& at) {
  if (exchanges_open_ >= kExchangesMax || at.empty()) return;
  ++exchanges_open_;
  const CallSettings call{.to = to,
                          .at = at,
                          .method = kExchangeMethod,
                          .priority = Priority::background,
                          .deadline_ns = loop_.now_ns() + kCallNs};
  transport_.call(call, exchange_request(), [&loop = loop_, weak = weak_from_this(), to, at](Reply reply) {
    loop.post([weak, to, at, reply = std::move(reply)] {
      if (const auto self = weak.lock()) self->on_exchanged(to, at, reply);
    });
  });
}

void SwarmDirectory::on_exchanged(const PeerId& to, const Endpoint& at, const Reply& reply) {
  --exchanges_open_;
  if (!reply.status.ok()) {
    if (to.empty()) note_silent(at);
    return contacts_.drop(to);
  }
  const StatusOr<ExchangeReply> answer = parse_exchange_reply(reply.payload);
  if (!answer.ok()) {
    contacts_.drop(to);
    base::MutexLock lock(mutex_);
    ++messages_refused_;
    return;
  }
  contact_ns_ = loop_.now_ns();
  if (take(answer->records).strangers) tick_wait_ns_ = kTickBusyNs;
  std::vector<Payload> wanted;
  {
    base::MutexLock lock(mutex_);
    if (contacts_.wants_more() && view_.find(reply.from) != nullptr) contacts_.choose(reply.from);
    wanted = view_.records_at(answer->wanted, kMessageRecordsBytesMax, loop_.now_ns());
  }
  if (!wanted.empty()) push(reply.from, encode_records(wanted));
}

// ---- Pushes

void SwarmDirectory::push_rumors_soon() {
  if (pushing_soon_) return;
  pushing_soon_ = true;
  after(spread(kPushNs), &SwarmDirectory::push_rumors);
}

void SwarmDirectory::push_rumors() {
  pushing_soon_ = false;
  const std::vector<uint64_t> places = rumors_.take(kMessageRecordsBytesMax / kRecordBytesMax);
  std::vector<Payload> records;
  {
    base::MutexLock lock(mutex_);
    records = view_.records_at(places, kMessageRecordsBytesMax, loop_.now_ns());
  }
  if (!rumors_.empty()) push_rumors_soon();
  const Payload message = encode_records(records);
  for (const PeerId& contact : contacts_.draw(kPushContacts, rng_)) push(contact, message);
}

void SwarmDirectory::push(const PeerId& to, const Payload& records, std::function<void()> done) {
  const CallSettings call{.to = to,
                          .at = endpoint_of(to),
                          .method = kPushMethod,
                          .priority = Priority::background,
                          .deadline_ns = loop_.now_ns() + kCallNs};
  const auto on_reply = [weak = weak_from_this(), to, done = std::move(done)](const Reply& reply) {
    if (const auto self = weak.lock(); self != nullptr && !reply.status.ok()) self->contacts_.drop(to);
    if (done) done();
  };
  if (call.at.empty()) return loop_.post([on_reply] { on_reply({}); });
  transport_.call(call, records, [&loop = loop_, on_reply](Reply reply) {
    loop.post([on_reply, reply = std::move(reply)] { on_reply(reply); });
  });
}

}  // namespace agora::peers
