#include "agora/swarm/wire/mix_message.h"

#include "absl/strings/str_format.h"

namespace agora::swarm {
namespace {

constexpr std::string_view kRequest = "mix request";
constexpr std::string_view kReply = "mix reply";
constexpr uint8_t kKeep = 1;
constexpr uint8_t kEntries = 2;
constexpr size_t kRequestHeadBytes = 20;
constexpr size_t kReplyHeadBytes = 28;
constexpr uint32_t kVersionsMax = 1 << 16;

struct Counts {
  uint32_t rows = 0, cols = 0, choices = 0;
};

bool read_counts(base::ByteReader& in, Counts* counts) {
  return in.read_le(&counts->rows) && in.read_le(&counts->cols) && in.read_le(&counts->choices);
}

StatusOr<std::vector<uint8_t>> read_bits(base::ByteReader& in, size_t count) {
  base::Bytes bits;
  if (!in.take((count + 7) / 8, &bits)) return too_short(kReply);
  std::vector<uint8_t> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = std::to_integer<uint8_t>(bits[i / 8] >> (i % 8)) & 1;
  return values;
}

void write_bits(std::span<const uint8_t> values, MessageWriter& out) {
  std::byte* bits = out.claim((values.size() + 7) / 8);
  std::fill_n(bits, (values.size() + 7) / 8, std::byte{0});
  for (size_t i = 0; i < values.size(); ++i) bits[i / 8] |= std::byte{values[i]} << (i % 8);
}

}  // namespace

size_t route_bytes(const moe::Route& route) {
  return static_cast<size_t>(2 * route.tokens() + 8 * route.choices());
}

void write_route(const moe::Route& route, MessageWriter& out) {
  for (int64_t t = 0; t < route.tokens(); ++t) {
    out.put(static_cast<uint16_t>(route.first[t + 1] - route.first[t]));
  }
  for (const int32_t expert : route.expert) out.put(static_cast<uint32_t>(expert));
  for (const float weight : route.weight) out.put(weight);
}

StatusOr<moe::Route> read_route(base::ByteReader& in, int64_t tokens, int64_t choices,
                                std::string_view message) {
  if (static_cast<uint64_t>(2 * tokens + 8 * choices) > in.remaining()) {
    return malformed(message,
                     absl::StrFormat("a route of %d tokens and %d choices does not fit", tokens, choices));
  }
  moe::Route route;
  route.first.resize(static_cast<size_t>(tokens) + 1);
  route.expert.resize(static_cast<size_t>(choices));
  route.weight.resize(static_cast<size_t>(choices));
  int64_t sum = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    uint16_t count = 0;
    in.read_le(&count);
    sum += count;
    if (sum > choices) break;
    route.first[t + 1] = static_cast<int32_t>(sum);
  }
  if (sum != choices) return malformed(message, "its tokens' choices do not add up");
  for (int32_t& expert : route.expert) {
    uint32_t number = 0;
    in.read_le(&number);
    expert = static_cast<int32_t>(std::min(number, static_cast<uint32_t>(kWireExpertsMax)));
  }
  for (float& weight : route.weight) read_float(in, &weight);
  AGORA_RETURN_IF_ERROR(validate(route, tokens, kWireExpertsMax));
  return route;
}

Status check_counts(int64_t rows, int64_t cols, int64_t choices, std::string_view message) {
  if (rows <= kRowsMax && cols >= 1 && cols <= kWidthMax && choices <= kChoicesMax) return absl::OkStatus();
  return malformed(message, absl::StrFormat("%d rows of %d with %d choices; at most %d of 1 to %d with %d",
                                            rows, cols, choices, kRowsMax, kWidthMax, kChoicesMax));
}

peers::Payload encode(const MixRequestHead& head, const moe::Route& route, tensor::View<const float> x,
                      std::span<const int32_t> tokens) {
  AGORA_CHECK_EQ(static_cast<int64_t>(tokens.size()), route.tokens());
  const size_t block = row_block_bytes(head.rows, route.tokens(), x.cols);
  MessageWriter out(padded(kRequestHeadBytes + route_bytes(route), kRowsAlignment) + block);
  out.put(kWireVersion);
  out.put(static_cast<uint8_t>((head.keep == moe::Keep::for_backward ? kKeep : 0) |
                               (head.entries ? kEntries : 0)));
  out.put(static_cast<uint8_t>(head.rows));
  out.put(static_cast<uint8_t>(head.answer));
  out.put(static_cast<uint32_t>(head.layer.value));
  out.put(static_cast<uint32_t>(route.tokens()));
  out.put(static_cast<uint32_t>(x.cols));
  out.put(static_cast<uint32_t>(route.choices()));
  write_route(route, out);
  out.pad_to(kRowsAlignment);
  write_rows(head.rows, x, tokens, out.claim(block));
  return std::move(out).done();
}

StatusOr<MixRequest> read_mix_request(base::Bytes bytes) {
  base::ByteReader in(bytes);
  AGORA_RETURN_IF_ERROR(read_version(in, kRequest));
  uint8_t flags, rows, answer;
  uint32_t layer;
  Counts counts;
  if (!in.read_le(&flags) || !in.read_le(&rows) || !in.read_le(&answer) || !in.read_le(&layer) ||
      !read_counts(in, &counts)) {
    return too_short(kRequest);
  }
  if (flags > (kKeep | kEntries) || flags == (kKeep | kEntries)) {
    return malformed(kRequest, absl::StrFormat("unknown flags %d", flags));
  }
  if (answer > static_cast<uint8_t>(RowDtype::int8)) return malformed(kRequest, "unknown type of the answer");
  AGORA_RETURN_IF_ERROR(check_counts(counts.rows, counts.cols, counts.choices, kRequest));
  MixRequest request;
  request.head = {.layer = LayerId(std::min<int64_t>(layer, INT32_MAX)),
                  .keep = (flags & kKeep) != 0 ? moe::Keep::for_backward : moe::Keep::nothing,
                  .entries = (flags & kEntries) != 0,
                  .rows = static_cast<RowDtype>(rows),
                  .answer = static_cast<RowDtype>(answer)};
  const int64_t answer_rows = request.head.entries ? counts.choices : counts.rows;
  if (answer_rows * counts.cols * 4 > kAnswerBytesMax) {
    return malformed(kRequest,
                     absl::StrFormat("the answer would be %d rows of %d; send fewer, or ask for sums",
                                     answer_rows, counts.cols));
  }
  AGORA_ASSIGN_OR_RETURN(request.route, read_route(in, counts.rows, counts.choices, kRequest));
  AGORA_RETURN_IF_ERROR(skip_padding(in, bytes, kRequest));
  AGORA_ASSIGN_OR_RETURN(request.x, read_row_block(in, rows, counts.rows, counts.cols, kRequest));
  AGORA_RETURN_IF_ERROR(ends_here(in, kRequest));
  return request;
}

peers::Payload encode(const MixReply& reply, RowDtype dtype, tensor::View<const float> rows) {
  const size_t block = row_block_bytes(dtype, rows.rows, rows.cols);
  const size_t head = kReplyHeadBytes + (reply.arrived.size() + 7) / 8 + 12 * reply.versions.size();
  MessageWriter out(padded(head, kRowsAlignment) + block);
  out.put(kWireVersion);
  out.put(static_cast<uint8_t>(reply.entries ? kEntries : 0));
  out.put(static_cast<uint8_t>(dtype));
  out.put(uint8_t{0});
  out.put(static_cast<uint32_t>(rows.rows));
  out.put(static_cast<uint32_t>(rows.cols));
  out.put(static_cast<uint32_t>(reply.arrived.size()));
  out.put(reply.ticket.value);
  out.put(static_cast<uint32_t>(reply.versions.size()));
  write_bits(reply.arrived, out);
  for (const auto& [expert, version] : reply.versions) {
    out.put(static_cast<uint32_t>(expert.value));
    out.put(version);
  }
  out.pad_to(kRowsAlignment);
  write_rows(dtype, rows, out.claim(block));
  return std::move(out).done();
}

StatusOr<MixReply> read_mix_reply(base::Bytes bytes) {
  base::ByteReader in(bytes);
  AGORA_RETURN_IF_ERROR(read_version(in, kReply));
  uint8_t flags, dtype, zero;
  uint32_t versions;
  Counts counts;
  MixReply reply;
  if (!in.read_le(&flags) || !in.read_le(&dtype) || !in.read_le(&zero) || !read_counts(in, &counts) ||
      !in.read_le(&reply.ticket.value) || !in.read_le(&versions)) {
    return too_short(kReply);
  }
  if ((flags & ~kEntries) != 0 || zero != 0) return malformed(kReply, "unknown flags");
  reply.entries = (flags & kEntries) != 0;
  // An entry is a row as well, and there are more of them than tokens.
  AGORA_RETURN_IF_ERROR(check_counts(reply.entries ? 0 : counts.rows, counts.cols, counts.choices, kReply));
  if (reply.entries && counts.rows != counts.choices) return malformed(kReply, "not a row for each choice");
  AGORA_ASSIGN_OR_RETURN(reply.arrived, read_bits(in, counts.choices));
  if (versions > kVersionsMax || versions * size_t{12} > in.remaining()) return too_short(kReply);
  reply.versions.resize(versions);
  for (auto& [expert, version] : reply.versions) {
    uint32_t number = 0;
    in.read_le(&number);
    in.read_le(&version);
    if (number >= static_cast<uint32_t>(kWireExpertsMax))
      return malformed(kReply, "an expert's number is too high");
    expert = ExpertId(number);
  }
  AGORA_RETURN_IF_ERROR(skip_padding(in, bytes, kReply));
  AGORA_ASSIGN_OR_RETURN(reply.y, read_row_block(in, dtype, counts.rows, counts.cols, kReply));
  AGORA_RETURN_IF_ERROR(ends_here(in, kReply));
  return reply;
}

}  // namespace agora::swarm
