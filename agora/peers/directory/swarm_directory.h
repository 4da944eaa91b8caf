// The directory of a running peer: it finds others by the DHT and by those it is in contact with, and goes on
// when either of the two is gone.
//
//   auto directory = SwarmDirectory::create({.swarm = swarm, .first_sequence = wall_clock_s, .seed = seed},
//                                           identity, loop, transport, dht);
//   directory->subscribe(...);   directory->publish(body);   directory->join(endpoint);
//   directory->leave([] { ... });                               // told; then destroy it on the loop
//
// How records travel:
//   exchange  about once a second with one contact, five times a second while strangers come: own record and
//             a digest of a random arc of the ring there, what either lacks back; it heals everything
//   push      whatever was news goes on to three contacts at the next tenth of a second, once; own changes go
//             to all contacts at once: they know within the publishing second, 40 peers half a second later
//   DHT       announce, find, and the record under (swarm, endpoint): twice in a record's time, eight times
//             while nobody is in contact; its node enters when it is first used
// Cost for each peer, whatever the number of peers P: at most 5 exchanges a second of 5.2 KB there and 64 KB
// back, 10 x 3 pushes a second of 61 KB. In a quiet swarm of M peers that matter (view.h) and at most 256
// others: one exchange a second, and 3 x 0.3 KB x M in 12 s up to M = 256; with more, records are good for
// longer and change less often, so that it stays at 20 KB a second.
//
// Thread rule: see directory.h. Shared ownership, because calls under way, timers and the DHT's answers may
// come after the owner let go: they hold weak pointers. transport, dht and loop outlive it.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agora/base/loop.h"
#include "agora/base/mutex.h"
#include "agora/base/rng.h"
#include "agora/peers/directory/contacts.h"
#include "agora/peers/directory/dht.h"
#include "agora/peers/directory/directory.h"
#include "agora/peers/directory/messages.h"
#include "agora/peers/directory/own_record.h"
#include "agora/peers/directory/rumors.h"
#include "agora/peers/directory/view.h"
#include "agora/peers/directory/waiting_calls.h"
#include "agora/peers/identity/identity.h"
#include "agora/peers/transport/transport.h"

namespace agora::peers {

struct SwarmDirectorySettings {
  SwarmId swarm;
  Endpoint endpoint;            // what the record says; empty: the transport's own
  uint64_t first_sequence = 0;  // the wall clock's seconds; where that is behind, the network tells
  uint64_t seed = 0;            // of the choices of contacts
  uint32_t ttl_s = 30;
  size_t peers_max = 4096;
  MattersToAll matters_to_all = {};  // empty: everybody does; see view.h
};

class SwarmDirectory final : public Directory, public std::enable_shared_from_this<SwarmDirectory> {
 public:
  // On the loop, or before it runs. Serves kExchangeMethod and kPushMethod on the transport. Starts by
  // itself.
  // reader: tells whose records are true; what signer signs, it must hold for.
  static std::shared_ptr<SwarmDirectory> create(const SwarmDirectorySettings& settings,
                                                std::shared_ptr<const Signer> signer, base::Loop& loop,
                                                Transport& transport, Dht& dht,
                                                std::shared_ptr<RecordReader> reader);
  static std::shared_ptr<SwarmDirectory> create(const SwarmDirectorySettings& settings, Identity identity,
                                                base::Loop& loop, Transport& transport, Dht& dht);

  void publish(std::string body) override;
  void subscribe(Listener listener) override;
  void join(const Endpoint& endpoint) override;
  using Directory::leave;
  void leave(std::function<void()> done) override;
  std::vector<std::shared_ptr<const Record>> records() const override;
  DirectoryCounters counters() const override;
  uint64_t reserve_end() const override;

 private:
  struct Seed {
    Endpoint at;
    int64_t next_ns = 0;  // when it may be called again
    int64_t wait_ns = 0;  // doubles
  };
  struct Taken {
    bool strangers = false;  // see add_rumors()
    bool foreign = false;
    bool holds = false;  // one was truly somebody's of this swarm, fresh or not
  };

  SwarmDirectory(const SwarmDirectorySettings& settings, std::shared_ptr<const Signer> signer,
                 base::Loop& loop, Transport& transport, Dht& dht, std::shared_ptr<RecordReader> reader);
  void after(int64_t delay_ns, void (SwarmDirectory::*step)());
  int64_t spread(int64_t ns);  // +- 20 %, so that peers do not move in step
  bool alone() const;          // nobody was in contact for a while

  // Records, our own and others': swarm_directory.cc.
  void send_own_soon() ABSL_LOCKS_EXCLUDED(mutex_);
  void send_own();
  int64_t publish_every_ns() const ABSL_LOCKS_EXCLUDED(mutex_);
  uint32_t ttl_s() const ABSL_LOCKS_EXCLUDED(mutex_);
  void refresh();
  Taken take(const std::vector<Payload>& records, const PeerId& caller = {});  // as DirectoryView::take()
  // True: somebody was seen for the first time. Fresher records of who is known travel by pushes; those of
  // strangers say that more may be missing here.
  bool add_rumors(const std::vector<DirectoryEvent>& events);
  void tell(const std::vector<DirectoryEvent>& events);
  void expire();
  void expire_in_time();

  // Contact: directory_contact.cc.
  void serve();
  void on_exchange(IncomingCall& call);
  void on_push(IncomingCall& call);
  void tick();
  bool choose_contact();  // and has an exchange with it; false: there are enough
  void call_seeds();
  void exchange(const PeerId& to, const Endpoint& at);  // to empty: whoever is there
  Payload exchange_request();
  void on_exchanged(const PeerId& to, const Endpoint& at, const Reply& reply);
  void push_rumors_soon();
  void push_rumors();
  void push(const PeerId& to, const Payload& records, std::function<void()> done = {});  // done: in any case
  Endpoint endpoint_of(const PeerId& peer) const;  // empty: not known any more
  bool knows(const Endpoint& at) const;
  bool is_crowded() const ABSL_LOCKS_EXCLUDED(mutex_);

  // DHT: directory_lookups.cc.
  void use_dht();
  bool may_use_dht();
  void enter_dht();
  void put_in_dht();
  void on_found(const std::vector<Endpoint>& endpoints);
  void look_up();
  void note_silent(const Endpoint& at);
  void on_got(const Endpoint& at, std::vector<std::byte> bytes);

  const SwarmDirectorySettings settings_;
  base::Loop& loop_;
  Transport& transport_;
  Dht& dht_;

  // Shared with the handlers: calls may still come when we have gone.
  const std::shared_ptr<WaitingCalls> waiting_calls_;

  mutable base::Mutex mutex_;  // for who asks from other threads; all else is the loop's
  DirectoryView view_ ABSL_GUARDED_BY(mutex_);
  uint64_t messages_refused_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t own_refused_ ABSL_GUARDED_BY(mutex_) = 0;

  Rng rng_;
  std::vector<Listener> listeners_;
  base::TimerId expiry_timer_;
  int64_t expiry_ns_ = INT64_MAX;

  OwnRecord own_;
  bool sending_soon_ = false;
  bool leaving_ = false;
  int64_t sent_ns_;
  base::TimerId refresh_timer_;

  Contacts contacts_;
  Rumors rumors_;
  std::vector<Seed> seeds_;
  bool pushing_soon_ = false;
  int exchanges_open_ = 0;
  int64_t contact_ns_;       // when somebody was in contact last
  int64_t contacts_new_ns_;  // when they were changed last
  int64_t tick_wait_ns_;

  int64_t dht_next_ns_;
  int64_t dht_wait_ns_;
  bool dht_waited_ = false;   // in contact, for a time of its own
  bool dht_entered_ = false;  // its node knows others'
  std::deque<Endpoint> lookups_;
  size_t lookups_open_ = 0;
  // Until when: the table names the dead for most of an hour. At most kSilentMax.
  std::map<Endpoint, int64_t> silent_;
};

}  // namespace agora::peers
