// Who is there: every peer publishes one record and sees the others'.
//
//   directory.subscribe([&](const DirectoryEvent& event) { ... });   // on the loop
//   directory.publish(body);                                          // signed, sent, refreshed by itself
//   directory.join(endpoint);                                         // any living peer will do
//   for (const auto& record : directory.records()) ...
//
// A record is seen when somebody passed it on (the DHT, or a peer we are in contact with), its signature
// holds, it is of our swarm and fresher than the one we had. It goes when its time to live has passed on
// our own clock since we first saw it, or when its peer says that it leaves. Implementations pass
// tests/conformance/directory_suite.h. records(), counters(), reserve_end(): any thread; the rest on the
// loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agora/peers/directory/record.h"

namespace agora::peers {

struct DirectoryEvent {
  enum class Kind : uint8_t { seen, changed, gone };
  Kind kind = Kind::seen;
  std::shared_ptr<const Record> record;  // gone: the last one
};

struct DirectoryCounters {
  uint64_t records_taken = 0;
  uint64_t forged = 0;  // signature or id does not hold
  uint64_t stale = 0;   // an older sequence than we have: replayed or overtaken
  uint64_t oversized = 0;
  uint64_t foreign = 0;  // of another swarm
  uint64_t malformed = 0;
  uint64_t over_limit = 0;  // more peers than we keep
  uint64_t expired = 0;
  uint64_t messages_refused = 0;  // exchanges and pushes that do not parse
  uint64_t own_refused = 0;       // bodies of ours that are too large: the one before stays
};

class Directory {
 public:
  using Listener = std::function<void(const DirectoryEvent&)>;
  virtual ~Directory() = default;

  // What this peer says of itself from now on: at most kRecordBodyBytesMax. At most one send a second; the
  // last body wins.
  virtual void publish(std::string body) = 0;
  virtual void subscribe(Listener listener) = 0;  // for the directory's life; told of what is known at once
  virtual void join(const Endpoint& endpoint) = 0;
  // Tells those in contact that this peer goes; done runs when they know, or after a second.
  virtual void leave(std::function<void()> done) = 0;
  void leave() {
    leave([] {});
  }

  virtual std::vector<std::shared_ptr<const Record>> records() const = 0;  // without our own
  virtual DirectoryCounters counters() const = 0;
  // Where records() leaves peers out that do not matter to all: of those, everybody knows the ones whose
  // ring_place() is not beyond this, the reserve. UINT64_MAX: everybody knows everybody.
  virtual uint64_t reserve_end() const { return UINT64_MAX; }
};

}  // namespace agora::peers
