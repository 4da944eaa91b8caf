// A call that a test makes up and whose answer it reads.
//
//   auto call = std::make_shared<FakeCall>(FakeCall::Settings{.method = kMix, .payload = p});
//   serve(call);   call->status();
//
// Tests only.
#pragma once

#include <optional>
#include <utility>

#include "agora/peers/transport/transport.h"

namespace agora::swarm {

class FakeCall final : public peers::IncomingCall {
 public:
  struct Settings {
    peers::PeerId from = {};
    peers::Method method = {};
    peers::Priority priority = peers::Priority::training;
    int64_t deadline_ns = INT64_MAX;
    peers::Payload payload = {};
  };
  explicit FakeCall(Settings settings) : settings_(std::move(settings)) {}

  const peers::PeerId& from() const override { return settings_.from; }
  peers::Method method() const override { return settings_.method; }
  peers::Priority priority() const override { return settings_.priority; }
  int64_t deadline_ns() const override { return settings_.deadline_ns; }
  uint64_t trace() const override { return 0; }
  const peers::Payload& payload() const override { return settings_.payload; }
  bool abandoned() const override { return abandoned_; }
  void part(peers::Payload) override {}
  void reply(const Status& status, peers::Payload payload, uint32_t load_us) override {
    ++replies_;
    status_ = status;
    answer_ = std::move(payload);
    load_us_ = load_us;
  }

  void abandon() { abandoned_ = true; }
  int replies() const { return replies_; }
  const std::optional<Status>& status() const { return status_; }  // none: not answered
  const peers::Payload& answer() const { return answer_; }
  uint32_t load_us() const { return load_us_; }

 private:
  Settings settings_;
  bool abandoned_ = false;
  int replies_ = 0;
  std::optional<Status> status_;
  peers::Payload answer_;
  uint32_t load_us_ = 0;
};

}  // namespace agora::swarm
