#include "agora/peers/transport/assembler.h"

#include <algorithm>
#include <cstring>

#include "agora/base/check.h"
#include "agora/base/text.h"

namespace agora::peers {
namespace {

Side side_of(const FrameHeader& header) {
  if (header.kind == FrameKind::request) return Side::caller;
  return header.kind == FrameKind::more ? header.side : Side::host;
}

}  // namespace

size_t Pieces::size() const {
  size_t sum = 0;
  for (const base::Bytes& piece : pieces) sum += piece.size();
  return sum;
}

void Pieces::copy_to(size_t offset, std::span<std::byte> to) const {
  for (const base::Bytes& piece : pieces) {
    if (to.empty()) return;
    if (offset >= piece.size()) {
      offset -= piece.size();
      continue;
    }
    const size_t count = std::min(to.size(), piece.size() - offset);
    std::memcpy(to.data(), piece.data() + offset, count);
    to = to.subspan(count);
    offset = 0;
  }
  AGORA_CHECK(to.empty());
}

void Assembler::drop(Side side, uint64_t call) {
  const auto found = parts_.find({side, call});
  if (found == parts_.end()) return;
  held_ -= found->second.size;
  parts_.erase(found);
}

StatusOr<std::optional<Arrival>> Assembler::take(const FrameHeader& header, const Pieces& frame,
                                                 int64_t now_ns) {
  return header.kind == FrameKind::more ? go_on(header, frame) : begin(header, frame, now_ns);
}

StatusOr<std::optional<Arrival>> Assembler::begin(const FrameHeader& header, const Pieces& frame,
                                                  int64_t now_ns) {
  const size_t offset = kFrameHeaderBytes + header.text_bytes, count = frame.size() - offset;
  if (count > header.payload_bytes || count != std::min<size_t>(header.payload_bytes, kChunkBytes)) {
    return absl::InvalidArgumentError(
        base::concat("a message of ", header.payload_bytes, " bytes begins with ", count));
  }
  const std::pair key(side_of(header), header.call);
  if (parts_.contains(key))
    return absl::InvalidArgumentError("a message begins before the last one has ended");

  Arrival arrival{
      .header = header, .text = std::string(header.text_bytes, '\0'), .payload = {}, .since_ns = now_ns};
  frame.copy_to(kFrameHeaderBytes, std::as_writable_bytes(std::span(arrival.text)));
  if (header.payload_bytes > bytes_max_ - std::min(held_, bytes_max_)) {
    arrival.too_much = true;
    return arrival;
  }
  if (count == header.payload_bytes && frame.pieces.size() == 1) {
    arrival.payload = Payload(frame.owner, frame.pieces[0].subspan(offset));
    return arrival;
  }
  if (parts_.size() >= messages_max_) {
    return absl::InvalidArgumentError(base::concat("more than ", messages_max_, " messages at once"));
  }
  std::shared_ptr<std::byte[]> bytes(new std::byte[header.payload_bytes]);
  frame.copy_to(offset, {bytes.get(), count});
  if (count == header.payload_bytes) {
    arrival.payload = Payload(bytes, {bytes.get(), count});
    return arrival;
  }
  held_ += header.payload_bytes;
  parts_.emplace(key, Part{.arrival = std::move(arrival),
                           .bytes = std::move(bytes),
                           .size = header.payload_bytes,
                           .filled = count});
  return std::nullopt;
}

StatusOr<std::optional<Arrival>> Assembler::go_on(const FrameHeader& header, const Pieces& frame) {
  const size_t offset = kFrameHeaderBytes + header.text_bytes, count = frame.size() - offset;
  const auto found = parts_.find({header.side, header.call});
  if (found == parts_.end()) return std::nullopt;  // dropped, and the peer does not know it yet
  Part& part = found->second;
  if (count == 0 || count > part.size - part.filled) {
    return absl::InvalidArgumentError(
        base::concat("a chunk of ", count, " bytes where ", part.size - part.filled, " are missing"));
  }
  frame.copy_to(offset, {part.bytes.get() + part.filled, count});
  part.filled += count;
  if (part.filled < part.size) return std::nullopt;
  Arrival arrival = std::move(part.arrival);
  arrival.payload = Payload(part.bytes, {part.bytes.get(), part.size});
  held_ -= part.size;
  parts_.erase(found);
  return arrival;
}

}  // namespace agora::peers
