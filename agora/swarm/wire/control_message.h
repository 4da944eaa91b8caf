// The mixture's small messages: tickets to forget, and the end of a synchronous step.
//
//   transport.call(settings, encode_release(tickets), done);   read_release(payload.bytes());
//
// Any thread.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "agora/moe/experts.h"
#include "agora/peers/transport/payload.h"
#include "agora/swarm/host/held_experts.h"

namespace agora::swarm {

constexpr uint32_t kReleasedMax = 4096;  // tickets in one message

peers::Payload encode_release(std::span<const moe::Ticket> tickets);
StatusOr<std::vector<moe::Ticket>> read_release(base::Bytes bytes);

struct EndStep {
  UpdateKey key;                              // run and step; the trainer is who the transport says it is
  std::optional<moe::StepSettings> settings;  // none: the step is given up
};

peers::Payload encode_end_step(const EndStep& step);
// InvalidArgument also: a number that is not finite or out of range.
StatusOr<EndStep> read_end_step(base::Bytes bytes);

}  // namespace agora::swarm
