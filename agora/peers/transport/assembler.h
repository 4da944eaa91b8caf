// Puts the chunks of messages that come from one peer together again, within a limit.
//
//   AGORA_ASSIGN_OR_RETURN(std::optional<Arrival> done, assembler.take(header, chunk, now_ns));
//
// One thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "agora/peers/transport/frame.h"

namespace agora::peers {

// Received bytes, in one piece or several, that live as long as owner does.
struct Pieces {
  std::shared_ptr<const void> owner;
  std::vector<base::Bytes> pieces;

  size_t size() const;
  void copy_to(size_t offset, std::span<std::byte> to) const;  // to.size() bytes from offset
};

struct Arrival {
  FrameHeader header;
  std::string text;
  Payload payload;
  int64_t since_ns = 0;   // when its first frame came
  bool too_much = false;  // it would have gone over the limit; it has no payload
};

class Assembler {
 public:
  Assembler(size_t bytes_max, size_t messages_max) : bytes_max_(bytes_max), messages_max_(messages_max) {}

  // A frame of kind request, part, reply or more; the pieces are the whole frame. Nothing: more is to come,
  // or the message was dropped. A payload in one piece is not copied. InvalidArgument: not what a peer
  // sends.
  StatusOr<std::optional<Arrival>> take(const FrameHeader& header, const Pieces& frame, int64_t now_ns);

  // What has come of this call's message is thrown away, and what still comes too.
  void drop(Side side, uint64_t call);
  void hold(size_t bytes) { held_ += bytes; }  // counted against the limit too: payloads handed on
  void release(size_t bytes) { held_ -= bytes; }

 private:
  struct Part {
    Arrival arrival;
    std::shared_ptr<std::byte[]> bytes;  // the pages of it that nothing has come for cost nothing
    size_t size = 0, filled = 0;
  };
  StatusOr<std::optional<Arrival>> begin(const FrameHeader& header, const Pieces& frame, int64_t now_ns);
  StatusOr<std::optional<Arrival>> go_on(const FrameHeader& header, const Pieces& frame);

  const size_t bytes_max_, messages_max_;
  size_t held_ = 0;  // by messages that are coming in, of their whole size, and by hold()
  std::map<std::pair<Side, uint64_t>, Part> parts_;
};

}  // namespace agora::peers
