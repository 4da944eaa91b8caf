// Any bytes as what comes over a connection, cut into frames by a length of two bytes before each: whatever
// comes, the session either goes on or closes, calls end once, and nothing is left behind.
//
// The first byte says what the peer has done before: bit 0, its hello and its proof have been good; bit 1, a
// call to it is open.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "agora/base/check.h"
#include "agora/base/virtual_loop.h"
#include "agora/peers/transport/session.h"

namespace agora::peers {
namespace {

class FuzzWire final : public Wire {
 public:
  void write(Frame) override { ++writes; }
  void abort(const Status&) override { aborted = true; }
  PeerId peer() const override {
    PeerId id;
    id.bytes[0] = std::byte{2};
    return id;
  }
  int writes = 0;
  bool aborted = false;
};

void give(Session& session, FuzzWire& wire, base::Bytes bytes) {
  auto owner = std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end());
  // In two pieces, as TLS records may cut it.
  const base::Bytes whole(*owner);
  const std::vector<base::Bytes> pieces = {whole.first(whole.size() / 2), whole.subspan(whole.size() / 2)};
  session.on_frame({.owner = owner, .pieces = pieces});
  for (; wire.writes > 0; --wire.writes) session.on_written(true);
}

void be_greeted(Session& session, FuzzWire& wire) {
  const Payload hello = encode_hello({.incarnation = 1, .dial = 1, .nonce = {}, .keyed = false});
  const HeaderBytes header =
      encode_header({.kind = FrameKind::hello, .payload_bytes = static_cast<uint32_t>(hello.size())});
  std::vector<std::byte> frame(header.begin(), header.end());
  frame.insert(frame.end(), hello.bytes().begin(), hello.bytes().end());
  give(session, wire, frame);
  give(session, wire, encode_header({.kind = FrameKind::proof}));
}

void run(base::Bytes input) {
  base::ByteReader in(input);
  uint8_t before = 0;
  if (!in.read_le(&before)) return;
  base::VirtualLoop loop;
  TransportLimits limits;
  limits.bytes_per_peer_max = 1 << 20;
  limits.calls_per_peer_max = 16;
  const auto context = std::make_shared<SessionContext>(loop, std::make_shared<Calls>(loop));
  context->limits = limits;
  context->self.bytes[0] = std::byte{1};
  context->opened = [](const std::shared_ptr<Session>&) { return absl::OkStatus(); };
  context->closed = [](const std::shared_ptr<Session>&, const Status&) {};
  context->handlers.serve(Method{0}, [](std::shared_ptr<IncomingCall> call) {
    call->part(call->payload());
    call->reply(absl::OkStatus(), call->payload());
  });
  const auto session = std::make_shared<Session>(context, Session::Role::acceptor);
  const auto wire = std::make_shared<FuzzWire>();
  session->attach(wire);
  session->greet();
  if ((before & 1) != 0) be_greeted(*session, *wire);

  int replies = 0;
  if ((before & 2) != 0) {
    CallEvents events{.done = [&](const Reply&) { ++replies; }, .part = [](const Payload&) {}};
    const CallId id = context->calls->add(1'000'000, events, session);
    AGORA_CHECK(
        session->request(id, {.deadline_ns = 1'000'000}, Payload::own(std::vector<std::byte>(10))).ok());
  }
  for (uint16_t size = 0; in.read_le(&size) && !wire->aborted;) {
    base::Bytes frame;
    if (!in.take(std::min<size_t>(size, in.remaining()), &frame)) break;
    give(*session, *wire, frame);
  }
  session->on_closed(absl::UnavailableError("the end"));
  AGORA_CHECK_EQ(replies, (before & 2) != 0 ? 1 : 0);
  context->calls->stop();
}

}  // namespace
}  // namespace agora::peers

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  agora::peers::run(std::as_bytes(std::span(data, size)));
  return 0;
}
