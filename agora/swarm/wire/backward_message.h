// The backward call of the mixture: dy to the host that kept the rows under a ticket, dx and dweights back.
//
//   Payload p = encode(BackwardHead{...}, dy, part.token);               // while the ticket lives
//   Payload p = encode(BackwardHead{...}, dy, part.token, {route, x});   // it has gone: the rows again
//
// T rows of D, N choices: 52 bytes and the rows there (with x: 2 T + 8 N and as many rows again), 16 + 4 N
// bytes and the rows back. The trainer's name in the key is who the transport says it is, never the message.
// Any thread.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "agora/peers/transport/payload.h"
#include "agora/swarm/host/held_experts.h"
#include "agora/swarm/wire/rows.h"

namespace agora::swarm {

struct BackwardHead {
  moe::Ticket ticket;  // not looked at when the rows come with the message
  UpdateKey key;       // key.trainer does not travel; key.layer is the layer of the call
  RowDtype rows = RowDtype::bf16;
  RowDtype answer = RowDtype::bf16;
  int64_t choices = 0;
};

// The forward call once more.
struct RowsAgain {
  const moe::Route& route;  // over `tokens` of x
  tensor::View<const float> x;
};

struct BackwardRequest {
  BackwardHead head;
  RowBlock dy;
  struct Again {
    moe::Route route;
    RowBlock x;
  };
  std::optional<Again> again;
};

peers::Payload encode(const BackwardHead& head, tensor::View<const float> dy, std::span<const int32_t> tokens,
                      const std::optional<RowsAgain>& again = std::nullopt);
StatusOr<BackwardRequest> read_backward_request(base::Bytes bytes);

struct BackwardReply {
  UpdateOutcome::Kind outcome = UpdateOutcome::Kind::applied;
  std::vector<float> dweights;  // [choices]
  RowBlock dx;                  // [T, D]
};

peers::Payload encode_backward_reply(UpdateOutcome::Kind outcome, std::span<const float> dweights,
                                     RowDtype dtype, tensor::View<const float> dx);
StatusOr<BackwardReply> read_backward_reply(base::Bytes bytes);

}  // namespace agora::swarm
