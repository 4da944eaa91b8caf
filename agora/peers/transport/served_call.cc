#include "agora/peers/transport/served_call.h"

#include "agora/base/text.h"

namespace agora::peers {

ServedCall::~ServedCall() {
  reply(absl::UnavailableError("the peer dropped the call"), {}, 0);
  session_->served_ended(arrival_.header.call, arrival_.payload.size());
}

bool ServedCall::abandoned() const {
  return abandoned_.load() || session_->context_->clock.now_ns() >= deadline_ns_;
}

bool ServedCall::send(FrameKind kind, const Status& status, Payload payload, uint32_t load_us) {
  return session_->send({.header = {.kind = kind,
                                    .priority = arrival_.header.priority,
                                    .method = arrival_.header.method,
                                    .code = status.code(),
                                    .side = Side::host,
                                    .call = arrival_.header.call,
                                    .number = load_us},
                         .text = std::string(status.message()),
                         .payload = std::move(payload)});
}

void ServedCall::part(Payload payload) {
  if (abandoned_.load() || replied_.load()) return;
  if (payload.size() > kPayloadBytesMax || !send(FrameKind::part, absl::OkStatus(), std::move(payload), 0)) {
    reply(absl::ResourceExhaustedError("the peer's answers wait to be sent; ask for less at once"), {}, 0);
  }
}

void ServedCall::reply(const Status& status, Payload payload, uint32_t load_us) {
  if (replied_.exchange(true) || abandoned_.load()) return;
  if (payload.size() > kPayloadBytesMax) {
    const Status too_large = absl::InternalError(base::concat(
        "the answer has ", payload.size(), " bytes, more than ", kPayloadBytesMax, "; ask for less at once"));
    if (!send(FrameKind::reply, too_large, {}, load_us)) session_->close(too_large);
  } else if (!send(FrameKind::reply, status, std::move(payload), load_us)) {
    const Status full =
        absl::ResourceExhaustedError("the peer's answers wait to be sent; ask for less at once");
    // Room for these is there for as many calls as one may have open.
    if (!send(FrameKind::reply, full, {}, load_us)) session_->close(full);
  }
}

}  // namespace agora::peers
