// A directory that knows what a test tells it.
//
//   FixedDirectory directory;   directory.say(peer, endpoint, state);   directory.gone(peer);
//   OwnView view(directory, self);
//
// Tests only. say() and gone() tell the listeners on the calling thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "agora/base/mutex.h"
#include "agora/peers/directory/directory.h"
#include "agora/swarm/peer_state.h"

namespace agora::tests {

class FixedDirectory final : public peers::Directory {
 public:
  void say(const peers::PeerId& peer, const peers::Endpoint& endpoint, const swarm::PeerState& state) {
    auto record = std::make_shared<peers::Record>();
    record->peer = peer;
    record->endpoint = endpoint;
    record->body = encode(state);
    tell({peers::DirectoryEvent::Kind::changed, std::move(record)});
  }
  void gone(const peers::PeerId& peer) {
    auto record = std::make_shared<peers::Record>();
    record->peer = peer;
    tell({peers::DirectoryEvent::Kind::gone, std::move(record)});
  }

  void publish(std::string) override {}
  void subscribe(Listener listener) override {
    base::MutexLock lock(mutex_);  // all the while: nothing is said between what it is told and what it hears
    for (const auto& [peer, record] : records_) listener({peers::DirectoryEvent::Kind::seen, record});
    listeners_.push_back(std::move(listener));
  }
  void join(const peers::Endpoint&) override {}
  using peers::Directory::leave;
  void leave(std::function<void()> done) override { done(); }
  std::vector<std::shared_ptr<const peers::Record>> records() const override {
    base::MutexLock lock(mutex_);
    std::vector<std::shared_ptr<const peers::Record>> all;
    for (const auto& [peer, record] : records_) all.push_back(record);
    return all;
  }
  peers::DirectoryCounters counters() const override { return {}; }

 private:
  void tell(const peers::DirectoryEvent& event) {
    std::vector<Listener> listeners;
    {
      base::MutexLock lock(mutex_);
      records_.erase(event.record->peer);
      if (event.kind != peers::DirectoryEvent::Kind::gone) records_.emplace(event.record->peer, event.record);
      listeners = listeners_;
    }
    for (const Listener& listener : listeners) listener(event);
  }

  mutable base::Mutex mutex_;
  std::map<peers::PeerId, std::shared_ptr<const peers::Record>> records_ ABSL_GUARDED_BY(mutex_);
  std::vector<Listener> listeners_ ABSL_GUARDED_BY(mutex_);
};

// Everybody but oneself, as a directory shows it.
class OwnView final : public peers::Directory {
 public:
  OwnView(FixedDirectory& all, const peers::PeerId& self) : all_(all), self_(self) {}
  void publish(std::string) override {}
  void subscribe(Listener listener) override {
    all_.subscribe([self = self_, listener = std::move(listener)](const peers::DirectoryEvent& event) {
      if (event.record->peer != self) listener(event);
    });
  }
  void join(const peers::Endpoint&) override {}
  using Directory::leave;
  void leave(std::function<void()> done) override { done(); }
  std::vector<std::shared_ptr<const peers::Record>> records() const override {
    auto records = all_.records();
    std::erase_if(records, [this](const auto& record) { return record->peer == self_; });
    return records;
  }
  peers::DirectoryCounters counters() const override { return {}; }

 private:
  FixedDirectory& all_;
  peers::PeerId self_;
};

}  // namespace agora::tests
