#include "agora/swarm/wire/backward_message.h"

#include <cmath>

#include "absl/strings/str_format.h"
#include "agora/swarm/wire/message.h"
#include "agora/swarm/wire/mix_message.h"

namespace agora::swarm {
namespace {

constexpr std::string_view kRequest = "backward request";
constexpr std::string_view kReply = "backward reply";
constexpr uint8_t kAgain = 1;
constexpr size_t kRequestHeadBytes = 52;
constexpr size_t kReplyHeadBytes = 16;

void write_head(const BackwardHead& head, bool again, int64_t rows, int64_t cols, MessageWriter& out) {
  out.put(kWireVersion);
  out.put(static_cast<uint8_t>(again ? kAgain : 0));
  out.put(static_cast<uint8_t>(head.rows));
  out.put(static_cast<uint8_t>(head.answer));
  out.put(head.ticket.value);
  out.put(head.key.run);
  out.put(head.key.step);
  out.put(head.key.micro_batch);
  out.put(head.key.part);
  out.put(static_cast<uint32_t>(head.key.layer.value));
  out.put(static_cast<uint32_t>(rows));
  out.put(static_cast<uint32_t>(cols));
  out.put(static_cast<uint32_t>(head.choices));
}

struct Sizes {
  uint32_t rows = 0, cols = 0, choices = 0;
};

bool read_head(base::ByteReader& in, BackwardHead* head, uint8_t* flags, Sizes* sizes) {
  uint8_t rows, answer;
  uint32_t layer;
  if (!in.read_le(flags) || !in.read_le(&rows) || !in.read_le(&answer) || !in.read_le(&head->ticket.value) ||
      !in.read_le(&head->key.run) || !in.read_le(&head->key.step) || !in.read_le(&head->key.micro_batch) ||
      !in.read_le(&head->key.part) || !in.read_le(&layer) || !in.read_le(&sizes->rows) ||
      !in.read_le(&sizes->cols) || !in.read_le(&sizes->choices)) {
    return false;
  }
  head->rows = static_cast<RowDtype>(rows);
  head->answer = static_cast<RowDtype>(answer);
  head->key.layer = LayerId(std::min<int64_t>(layer, INT32_MAX));
  head->choices = sizes->choices;
  return true;
}

}  // namespace

peers::Payload encode(const BackwardHead& head, tensor::View<const float> dy, std::span<const int32_t> tokens,
                      const std::optional<RowsAgain>& again) {
  const auto rows = static_cast<int64_t>(tokens.size());
  const size_t block = row_block_bytes(head.rows, rows, dy.cols);
  size_t bytes = padded(kRequestHeadBytes, kRowsAlignment) + block;
  if (again) {
    bytes = padded(kRequestHeadBytes + route_bytes(again->route), kRowsAlignment) +
            padded(block, kRowsAlignment) + block;
  }
  MessageWriter out(bytes);
  write_head(head, again.has_value(), rows, dy.cols, out);
  if (again) {
    AGORA_CHECK_EQ(again->route.tokens(), rows);
    write_route(again->route, out);
    out.pad_to(kRowsAlignment);
    write_rows(head.rows, again->x, tokens, out.claim(block));
  }
  out.pad_to(kRowsAlignment);
  write_rows(head.rows, dy, tokens, out.claim(block));
  return std::move(out).done();
}

StatusOr<BackwardRequest> read_backward_request(base::Bytes bytes) {
  base::ByteReader in(bytes);
  AGORA_RETURN_IF_ERROR(read_version(in, kRequest));
  BackwardRequest request;
  uint8_t flags;
  Sizes sizes;
  if (!read_head(in, &request.head, &flags, &sizes)) return too_short(kRequest);
  if (flags > kAgain) return malformed(kRequest, absl::StrFormat("unknown flags %d", flags));
  if (request.head.answer > RowDtype::int8) return malformed(kRequest, "unknown type of the answer");
  AGORA_RETURN_IF_ERROR(check_counts(sizes.rows, sizes.cols, sizes.choices, kRequest));
  const auto dtype = static_cast<uint8_t>(request.head.rows);
  if (flags == kAgain) {
    request.again.emplace();
    AGORA_ASSIGN_OR_RETURN(request.again->route, read_route(in, sizes.rows, sizes.choices, kRequest));
    AGORA_RETURN_IF_ERROR(skip_padding(in, bytes, kRequest));
    AGORA_ASSIGN_OR_RETURN(request.again->x, read_row_block(in, dtype, sizes.rows, sizes.cols, kRequest));
  }
  AGORA_RETURN_IF_ERROR(skip_padding(in, bytes, kRequest));
  AGORA_ASSIGN_OR_RETURN(request.dy, read_row_block(in, dtype, sizes.rows, sizes.cols, kRequest));
  AGORA_RETURN_IF_ERROR(ends_here(in, kRequest));
  return request;
}

peers::Payload encode_backward_reply(UpdateOutcome::Kind outcome, std::span<const float> dweights,
                                     RowDtype dtype, tensor::View<const float> dx) {
  const size_t block = row_block_bytes(dtype, dx.rows, dx.cols);
  MessageWriter out(padded(kReplyHeadBytes + 4 * dweights.size(), kRowsAlignment) + block);
  out.put(kWireVersion);
  out.put(static_cast<uint8_t>(outcome));
  out.put(static_cast<uint8_t>(dtype));
  out.put(uint8_t{0});
  out.put(static_cast<uint32_t>(dx.rows));
  out.put(static_cast<uint32_t>(dx.cols));
  out.put(static_cast<uint32_t>(dweights.size()));
  for (const float weight : dweights) out.put(weight);
  out.pad_to(kRowsAlignment);
  write_rows(dtype, dx, out.claim(block));
  return std::move(out).done();
}

StatusOr<BackwardReply> read_backward_reply(base::Bytes bytes) {
  base::ByteReader in(bytes);
  AGORA_RETURN_IF_ERROR(read_version(in, kReply));
  uint8_t outcome, dtype, zero;
  Sizes sizes;
  if (!in.read_le(&outcome) || !in.read_le(&dtype) || !in.read_le(&zero) || !in.read_le(&sizes.rows) ||
      !in.read_le(&sizes.cols) || !in.read_le(&sizes.choices)) {
    return too_short(kReply);
  }
  if (outcome > static_cast<uint8_t>(UpdateOutcome::Kind::not_leading) || zero != 0) {
    return malformed(kReply, "unknown outcome");
  }
  AGORA_RETURN_IF_ERROR(check_counts(sizes.rows, sizes.cols, sizes.choices, kReply));
  if (sizes.choices * size_t{4} > in.remaining()) return too_short(kReply);
  BackwardReply reply{.outcome = static_cast<UpdateOutcome::Kind>(outcome), .dweights = {}, .dx = {}};
  reply.dweights.resize(sizes.choices);
  for (float& weight : reply.dweights) {
    read_float(in, &weight);
    if (!std::isfinite(weight)) return malformed(kReply, "the gradient of a weight is not finite");
  }
  AGORA_RETURN_IF_ERROR(skip_padding(in, bytes, kReply));
  AGORA_ASSIGN_OR_RETURN(reply.dx, read_row_block(in, dtype, sizes.rows, sizes.cols, kReply));
  AGORA_RETURN_IF_ERROR(ends_here(in, kReply));
  return reply;
}

}  // namespace agora::swarm
