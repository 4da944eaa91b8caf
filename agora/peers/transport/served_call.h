// A request that came over a session, until its reply has gone.
//
// Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "agora/peers/transport/session.h"

namespace agora::peers {

class ServedCall final : public IncomingCall {
 public:
  ServedCall(std::shared_ptr<Session> session, const PeerId& from, int64_t deadline_ns, Arrival arrival)
      : session_(std::move(session)), from_(from), deadline_ns_(deadline_ns), arrival_(std::move(arrival)) {}
  ~ServedCall() override;

  const PeerId& from() const override { return from_; }
  Method method() const override { return arrival_.header.method; }
  Priority priority() const override { return arrival_.header.priority; }
  int64_t deadline_ns() const override { return deadline_ns_; }
  uint64_t trace() const override { return arrival_.header.trace; }
  const Payload& payload() const override { return arrival_.payload; }

  bool abandoned() const override;
  void part(Payload payload) override;
  void reply(const Status& status, Payload payload, uint32_t load_us) override;

  void abandon() { abandoned_.store(true); }

 private:
  bool send(FrameKind kind, const Status& status, Payload payload, uint32_t load_us);

  const std::shared_ptr<Session> session_;
  const PeerId from_;
  const int64_t deadline_ns_;
  const Arrival arrival_;
  std::atomic<bool> abandoned_{false}, replied_{false};
};

}  // namespace agora::peers
