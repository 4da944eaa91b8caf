// What goes over a connection: frames of a fixed header, an error's text if there is one, and payload.
//
//   HeaderBytes bytes = encode_header(header);
//   AGORA_ASSIGN_OR_RETURN(FrameHeader h, parse_header(bytes, frame_bytes));
//
// A message (request, part or reply) is one frame, followed by frames of kind `more` where its payload does
// not fit into one. 32 bytes, little endian:
//
//    0 kind   1 priority   2-3 method   4 status code   5 side   6-7 text_bytes
//    8-15 call   16-23 trace   24-27 time_left_us of a request, load_us of a reply   28-31 payload_bytes
//
// Any thread (values).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "agora/base/bytes.h"
#include "agora/base/result.h"
#include "agora/peers/transport/limits.h"
#include "agora/peers/transport/payload.h"
#include "agora/peers/transport/transport.h"

namespace agora::peers {

// No ping: HTTP/2 has one, and gRPC sends it.
enum class FrameKind : uint8_t { hello = 1, proof, request, part, reply, more, cancel, goodbye };
constexpr uint8_t kFrameKindLast = static_cast<uint8_t>(FrameKind::goodbye);

// Whose message it is; each side numbers its own calls.
enum class Side : uint8_t { caller, host };

constexpr size_t kFrameHeaderBytes = 32;
constexpr size_t kFrameBytesMax = kFrameHeaderBytes + kStatusTextBytesMax + kChunkBytes;

struct FrameHeader {
  FrameKind kind = FrameKind::hello;
  Priority priority = Priority::interactive;
  Method method{};
  absl::StatusCode code = absl::StatusCode::kOk;
  Side side = Side::caller;
  uint16_t text_bytes = 0;
  uint64_t call = 0;
  uint64_t trace = 0;
  uint32_t number = 0;
  uint32_t payload_bytes = 0;  // of the whole message; what this frame has is what follows the text
  friend bool operator==(const FrameHeader&, const FrameHeader&) = default;
};

using HeaderBytes = std::array<std::byte, kFrameHeaderBytes>;

HeaderBytes encode_header(const FrameHeader& header);

// Of a frame of frame_bytes. InvalidArgument: its size or a field is not one that a peer of this version
// writes. Bounds text_bytes and payload_bytes.
StatusOr<FrameHeader> parse_header(const HeaderBytes& bytes, size_t frame_bytes);

// A frame on its way out.
struct Frame {
  HeaderBytes header;
  std::string text;
  Payload payload;
  size_t size() const { return header.size() + text.size() + payload.size(); }
};

}  // namespace agora::peers
