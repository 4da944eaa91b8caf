#include "agora/peers/transport/frame.h"

#include "agora/base/text.h"

namespace agora::peers {

using base::load_le;
using base::store_le;

HeaderBytes encode_header(const FrameHeader& header) {
  HeaderBytes bytes;
  bytes[0] = static_cast<std::byte>(header.kind);
  bytes[1] = static_cast<std::byte>(header.priority);
  store_le<uint16_t>(header.method.value, &bytes[2]);
  bytes[4] = static_cast<std::byte>(header.code);
  bytes[5] = static_cast<std::byte>(header.side);
  store_le<uint16_t>(header.text_bytes, &bytes[6]);
  store_le<uint64_t>(header.call, &bytes[8]);
  store_le<uint64_t>(header.trace, &bytes[16]);
  store_le<uint32_t>(header.number, &bytes[24]);
  store_le<uint32_t>(header.payload_bytes, &bytes[28]);
  return bytes;
}

StatusOr<FrameHeader> parse_header(const HeaderBytes& frame, size_t frame_bytes) {
  if (frame_bytes < kFrameHeaderBytes || frame_bytes > kFrameBytesMax) {
    return absl::InvalidArgumentError(base::concat("a frame has ", kFrameHeaderBytes, " to ", kFrameBytesMax,
                                                   " bytes, this one ", frame_bytes));
  }
  const auto kind = static_cast<uint8_t>(frame[0]), priority = static_cast<uint8_t>(frame[1]);
  const auto code = static_cast<uint8_t>(frame[4]), side = static_cast<uint8_t>(frame[5]);
  FrameHeader header{.kind = static_cast<FrameKind>(kind),
                     .priority = static_cast<Priority>(priority),
                     .method = Method{load_le<uint16_t>(&frame[2])},
                     .code = static_cast<absl::StatusCode>(code),
                     .side = static_cast<Side>(side),
                     .text_bytes = load_le<uint16_t>(&frame[6]),
                     .call = load_le<uint64_t>(&frame[8]),
                     .trace = load_le<uint64_t>(&frame[16]),
                     .number = load_le<uint32_t>(&frame[24]),
                     .payload_bytes = load_le<uint32_t>(&frame[28])};
  const bool known = kind >= 1 && kind <= kFrameKindLast &&
                     priority <= static_cast<uint8_t>(Priority::background) &&
                     code <= static_cast<uint8_t>(absl::StatusCode::kUnauthenticated) &&
                     side <= static_cast<uint8_t>(Side::host);
  if (!known) return absl::InvalidArgumentError(base::concat("a frame of an unknown kind (", kind, ")"));
  if (header.text_bytes > kStatusTextBytesMax || header.payload_bytes > kPayloadBytesMax ||
      frame_bytes - kFrameHeaderBytes < header.text_bytes) {
    return absl::InvalidArgumentError(base::concat("a frame of ", frame_bytes,
                                                   " bytes says that its text has ", header.text_bytes,
                                                   " and its payload ", header.payload_bytes));
  }
  return header;
}

}  // namespace agora::peers
