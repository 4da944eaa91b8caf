// The forward call of the mixture: rows and their route to a host, sums (or weighted rows) back.
//
//   Payload request = encode(MixRequestHead{...}, part.route, x, part.token);
//   AGORA_ASSIGN_OR_RETURN(MixRequest r, read_mix_request(payload.bytes()));     // r.x borrows the bytes
//
// T rows of D, N choices: 20 + 2 T + 8 N bytes and the rows there; 28 + N / 8 + 12 (experts) and the rows
// back, T of them as sums, N as entries. Any thread.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "agora/base/ids.h"
#include "agora/moe/experts.h"
#include "agora/peers/transport/payload.h"
#include "agora/swarm/wire/message.h"
#include "agora/swarm/wire/rows.h"

namespace agora::swarm {

struct MixRequestHead {
  LayerId layer = {};
  moe::Keep keep = moe::Keep::nothing;
  bool entries = false;  // exact mode: each choice's weighted row by itself, always f32
  RowDtype rows = RowDtype::bf16;
  RowDtype answer = RowDtype::bf16;
};

struct MixRequest {
  MixRequestHead head;
  moe::Route route;  // valid for x.rows tokens; experts are below kWireExpertsMax
  RowBlock x;
};

// Rows `tokens` of x; the route is over them.
peers::Payload encode(const MixRequestHead& head, const moe::Route& route, tensor::View<const float> x,
                      std::span<const int32_t> tokens);
// InvalidArgument: whatever does not fit; nothing was allocated beyond what the message itself holds.
StatusOr<MixRequest> read_mix_request(base::Bytes bytes);

using ExpertVersion = std::pair<ExpertId, uint64_t>;

struct MixReply {
  moe::Ticket ticket;
  bool entries = false;
  std::vector<uint8_t> arrived;         // [choices]
  std::vector<ExpertVersion> versions;  // of the experts that served
  RowBlock y;                           // [T, D], or [choices, D] as entries
};

// `y` of the reply is not looked at: the rows are written from `rows` as `dtype`.
peers::Payload encode(const MixReply& reply, RowDtype dtype, tensor::View<const float> rows);
StatusOr<MixReply> read_mix_reply(base::Bytes bytes);

// Shared with the backward message, which may carry a route too.
constexpr int32_t kWireExpertsMax = 1 << 20;
size_t route_bytes(const moe::Route& route);
void write_route(const moe::Route& route, MessageWriter& out);
StatusOr<moe::Route> read_route(base::ByteReader& in, int64_t tokens, int64_t choices,
                                std::string_view message);
// Rows, width and choices within the limits of message.h.
Status check_counts(int64_t rows, int64_t cols, int64_t choices, std::string_view message);

}  // namespace agora::swarm
