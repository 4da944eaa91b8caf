// For tests: the other side of a session, played by hand.
//
//   const auto wire = std::make_shared<FakeWire>(peer);
//   session->attach(wire);   session->greet();   session->on_frame(frame_of(header, bytes));
//
// One thread.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "agora/peers/transport/session.h"

namespace agora::peers {

// Keeps what it is given to write, until its session hears that it was written.
class FakeWire final : public Wire {
 public:
  explicit FakeWire(const PeerId& peer) : peer_(peer) {}
  void write(Frame frame) override {
    sent_.push_back(parse_header(frame.header, frame.size())->kind);
    writing_ = true;
  }
  void abort(const Status&) override { aborted_ = true; }
  PeerId peer() const override { return peer_; }

  bool take_write() { return std::exchange(writing_, false); }
  bool aborted() const { return aborted_; }
  int sent(FrameKind kind) const { return static_cast<int>(std::ranges::count(sent_, kind)); }

 private:
  const PeerId peer_;
  std::vector<FrameKind> sent_;
  bool writing_ = false, aborted_ = false;
};

inline Pieces frame_of(const FrameHeader& header, base::Bytes bytes) {
  const HeaderBytes head = encode_header(header);
  auto frame = std::make_shared<std::vector<std::byte>>(head.size() + bytes.size());
  std::ranges::copy(head, frame->begin());
  std::ranges::copy(bytes, frame->begin() + static_cast<ptrdiff_t>(head.size()));
  return {.owner = frame, .pieces = {*frame}};
}

// The other side's hello and proof.
inline void open_session(Session& session, const std::shared_ptr<FakeWire>& wire, const Hello& hello) {
  session.attach(wire);
  session.greet();
  for (const auto& [kind, payload] :
       {std::pair(FrameKind::hello, encode_hello(hello)), std::pair(FrameKind::proof, Payload())}) {
    session.on_frame(
        frame_of({.kind = kind, .payload_bytes = static_cast<uint32_t>(payload.size())}, payload.bytes()));
    while (wire->take_write()) session.on_written(true);
  }
}

}  // namespace agora::peers
