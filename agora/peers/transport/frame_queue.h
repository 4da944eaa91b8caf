// What waits to be sent to one peer: interactive before training before background; within a class the calls
// take turns, chunk by chunk, so that a large payload holds up nobody for longer than a chunk takes.
//
//   if (!queue.push(message)) ...full;   while (queue.pop(now_ns, &frame)) write(frame);
//
// The messages of one call keep their order. Every message counts for what it keeps in memory: what the other
// side does not read is bounded, however short it is. One thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <string>
#include <utility>

#include "agora/peers/transport/frame.h"

namespace agora::peers {

struct Message {
  FrameHeader header;  // text_bytes, payload_bytes and a request's time left are filled in
  std::string text{};
  Payload payload{};
  int64_t deadline_ns = INT64_MAX;  // a request that is still here then is not sent
};

// Of a message that waits, besides its text and payload: header, lane and their places (730 measured).
constexpr size_t kMessageBytes = 1024;
constexpr size_t kShortReplyBytesMax = kMessageBytes + kStatusTextBytesMax;  // of one without payload

class FrameQueue {
 public:
  // more_bytes: for short replies alone, so that a call can be answered where its answer finds no room.
  explicit FrameQueue(size_t bytes_max, size_t more_bytes = 0)
      : bytes_max_(bytes_max), more_bytes_(more_bytes) {}

  // False: it would hold too much; nothing is taken.
  bool push(Message message);
  // Before everything else, and not counted: hello, proof, cancel, goodbye.
  void push_control(const FrameHeader& header, Payload payload = {});
  // Sends nothing more of this call. True: nothing of it had been sent, and something was here.
  bool drop(Side side, uint64_t call);

  // False: empty.
  bool pop(int64_t now_ns, Frame* frame);
  bool pop_control(Frame* frame);
  void clear();
  bool empty() const { return control_.empty() && lanes_.empty(); }
  size_t bytes() const { return bytes_; }

 private:
  using LaneKey = std::pair<Side, uint64_t>;
  using Turns = std::list<LaneKey>;
  struct Lane {
    Priority priority{};
    Turns::iterator turn;          // in turns_ of that priority
    std::deque<Message> messages;  // not empty
    size_t sent = 0;               // bytes of the first one's payload
    bool started = false;          // its first frame has gone
    bool touched = false;          // something of this lane has gone
  };

  using Lanes = std::map<LaneKey, Lane>;

  Turns& turns_of(const Lane& lane) { return turns_[static_cast<size_t>(lane.priority)]; }
  void erase(Lanes::iterator at);
  void cut(const LaneKey& key, Lane& lane, int64_t now_ns, Frame* frame);

  const size_t bytes_max_, more_bytes_;
  size_t bytes_ = 0;
  std::deque<Frame> control_;
  std::array<Turns, 3> turns_;  // by priority
  Lanes lanes_;
};

}  // namespace agora::peers
