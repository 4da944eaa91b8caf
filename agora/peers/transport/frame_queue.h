// What waits to be sent to one peer: interactive before training before background; within a class the calls
// take turns, chunk by chunk, so that a large payload holds up nobody for longer than a chunk takes.
//
//   if (!queue.push(message)) ...full;   while (queue.pop(now_ns, &frame)) write(frame);
//
// The messages of one call keep their order. One thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
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

class FrameQueue {
 public:
  explicit FrameQueue(size_t bytes_max) : bytes_max_(bytes_max) {}

  // False: it would hold more than bytes_max of payload; nothing is taken.
  bool push(Message message);
  // Before everything else, and not counted: hello, proof, cancel, goodbye.
  void push_control(const FrameHeader& header, Payload payload = {});
  // Sends nothing more of this call. True: nothing of it had been sent, and something was here.
  bool drop(Side side, uint64_t call);

  // False: empty.
  bool pop(int64_t now_ns, Frame* frame);
  bool pop_control(Frame* frame);
  bool empty() const { return control_.empty() && lanes_.empty(); }
  size_t bytes() const { return bytes_; }

 private:
  using LaneKey = std::pair<Side, uint64_t>;
  struct Lane {
    std::deque<Message> messages;  // not empty
    size_t sent = 0;               // bytes of the first one's payload
    bool started = false;          // its first frame has gone
    bool touched = false;          // something of this lane has gone
  };

  void cut(const LaneKey& key, Lane& lane, int64_t now_ns, Frame* frame);

  const size_t bytes_max_;
  size_t bytes_ = 0;
  std::deque<Frame> control_;
  std::array<std::deque<LaneKey>, 3> turns_;  // by priority
  std::map<LaneKey, Lane> lanes_;
};

}  // namespace agora::peers
