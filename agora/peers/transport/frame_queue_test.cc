#include "agora/peers/transport/frame_queue.h"

#include <string>
#include <vector>

#include "agora/peers/transport/assembler.h"
#include <gtest/gtest.h>

namespace agora::peers {
namespace {

Message message(FrameKind kind, uint64_t call, Priority priority, size_t bytes) {
  return {.header = {.kind = kind,
                     .priority = priority,
                     .side = kind == FrameKind::request ? Side::caller : Side::host,
                     .call = call},
          .payload = Payload::own(std::vector<std::byte>(bytes, static_cast<std::byte>(call)))};
}

FrameHeader next(FrameQueue& queue, int64_t now_ns = 0) {
  Frame frame;
  EXPECT_TRUE(queue.pop(now_ns, &frame));
  return *parse_header(frame.header, frame.size());
}

TEST(Frame, ReadsWhatItWrites) {
  const FrameHeader header{.kind = FrameKind::reply,
                           .priority = Priority::background,
                           .method = Method{513},
                           .code = absl::StatusCode::kNotFound,
                           .side = Side::host,
                           .text_bytes = 1000,
                           .call = 0x0123456789abcdef,
                           .trace = 0xfedcba9876543210,
                           .number = 4'000'000'000,
                           .payload_bytes = kPayloadBytesMax};
  const StatusOr<FrameHeader> again = parse_header(encode_header(header), 2000);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, header);
}

TEST(Frame, RefusesWhatNoPeerWrites) {
  const HeaderBytes good = encode_header({.kind = FrameKind::request});
  EXPECT_TRUE(parse_header(good, kFrameHeaderBytes).ok());
  EXPECT_FALSE(parse_header(good, kFrameHeaderBytes - 1).ok());
  EXPECT_FALSE(parse_header(good, kFrameBytesMax + 1).ok());
  for (const auto& [at, value] : {std::pair{0, 0}, {0, 9}, {1, 3}, {4, 17}, {5, 2}, {7, 0xff}, {31, 0xff}}) {
    HeaderBytes bad = good;
    bad[at] = static_cast<std::byte>(value);
    EXPECT_FALSE(parse_header(bad, 100).ok()) << at;
  }
}

TEST(FrameQueue, InteractiveGoesBetweenTheChunksOfALargePayload) {
  FrameQueue queue(kPayloadBytesMax);
  ASSERT_TRUE(queue.push(message(FrameKind::request, 1, Priority::training, 3 * kChunkBytes)));
  EXPECT_EQ(next(queue).call, 1u);
  ASSERT_TRUE(queue.push(message(FrameKind::request, 2, Priority::interactive, 10)));
  ASSERT_TRUE(queue.push(message(FrameKind::request, 3, Priority::background, 10)));
  EXPECT_EQ(next(queue).call, 2u);
  EXPECT_EQ(next(queue).kind, FrameKind::more);
  EXPECT_EQ(next(queue).kind, FrameKind::more);
  EXPECT_EQ(next(queue).call, 3u);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.bytes(), 0u);
}

TEST(FrameQueue, CallsOfOneClassTakeTurnsAndKeepTheirOrder) {
  FrameQueue queue(kPayloadBytesMax);
  ASSERT_TRUE(queue.push(message(FrameKind::part, 1, Priority::training, 2 * kChunkBytes)));
  ASSERT_TRUE(queue.push(message(FrameKind::reply, 1, Priority::training, 10)));
  ASSERT_TRUE(queue.push(message(FrameKind::part, 2, Priority::training, 10)));
  const FrameHeader first = next(queue), second = next(queue), third = next(queue), fourth = next(queue);
  EXPECT_EQ(first.call, 1u);
  EXPECT_EQ(second.call, 2u);
  EXPECT_EQ(third.kind, FrameKind::more);
  EXPECT_EQ(fourth.kind, FrameKind::reply);
}

TEST(FrameQueue, HoldsNoMoreThanItsLimit) {
  FrameQueue queue(2 * kMessageBytes + 100);
  EXPECT_TRUE(queue.push(message(FrameKind::request, 1, Priority::training, 60)));
  EXPECT_FALSE(queue.push(message(FrameKind::request, 2, Priority::training, 41)));
  EXPECT_TRUE(queue.push(message(FrameKind::request, 2, Priority::training, 40)));
  EXPECT_TRUE(queue.drop(Side::caller, 1));
  EXPECT_EQ(queue.bytes(), kMessageBytes + 40);
  EXPECT_EQ(next(queue).call, 2u);
  EXPECT_FALSE(queue.drop(Side::caller, 2));
  EXPECT_EQ(queue.bytes(), 0u);
}

TEST(FrameQueue, WhatHasNoPayloadCountsToo) {
  FrameQueue queue(2 * kMessageBytes, kShortReplyBytesMax);
  Message error = message(FrameKind::reply, 1, Priority::training, 0);
  error.text = std::string(2 * kStatusTextBytesMax, 'x');
  EXPECT_TRUE(queue.push(error));
  EXPECT_FALSE(queue.push(message(FrameKind::request, 2, Priority::training, 0)));
  error.header.call = 3;
  EXPECT_TRUE(queue.push(error));  // where an answer has no room, the call can be told so
  error.header.call = 4;
  EXPECT_FALSE(queue.push(error));
  EXPECT_EQ(next(queue).call, 1u);
  EXPECT_TRUE(queue.push(error));
  EXPECT_TRUE(queue.drop(Side::host, 3));
  EXPECT_EQ(next(queue).call, 4u);
  EXPECT_EQ(queue.bytes(), 0u);
}

TEST(FrameQueue, ARequestCarriesTheTimeThatIsLeftAndIsNotSentLate) {
  FrameQueue queue(kPayloadBytesMax);
  Message request = message(FrameKind::request, 1, Priority::training, 1);
  request.deadline_ns = 5'000'000;
  ASSERT_TRUE(queue.push(request));
  EXPECT_EQ(next(queue, 2'000'000).number, 3000u);
  ASSERT_TRUE(queue.push(request));
  Frame frame;
  EXPECT_FALSE(queue.pop(5'000'000, &frame));
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.bytes(), 0u);
}

// Moves everything from a queue to an assembler, frames cut into pieces of the given size.
std::vector<Arrival> carry(FrameQueue& queue, Assembler& assembler, size_t piece_bytes) {
  std::vector<Arrival> arrivals;
  Frame frame;
  while (queue.pop(0, &frame)) {
    auto bytes = std::make_shared<std::vector<std::byte>>(frame.header.begin(), frame.header.end());
    const base::Bytes text = base::as_bytes(frame.text), payload = frame.payload.bytes();
    bytes->insert(bytes->end(), text.begin(), text.end());
    bytes->insert(bytes->end(), payload.begin(), payload.end());
    std::vector<base::Bytes> pieces;
    for (base::Bytes rest = *bytes; !rest.empty(); rest = rest.subspan(pieces.back().size())) {
      pieces.push_back(rest.first(std::min(piece_bytes, rest.size())));
    }
    auto arrival = assembler.take(*parse_header(frame.header, frame.size()), {bytes, pieces}, 7);
    EXPECT_TRUE(arrival.ok()) << arrival.status();
    if (arrival.ok() && arrival->has_value()) arrivals.push_back(**arrival);
  }
  return arrivals;
}

TEST(Assembler, PutsTogetherWhatTheQueueCut) {
  for (const size_t piece_bytes : {size_t{7000}, size_t{1} << 30}) {
    FrameQueue queue(kPayloadBytesMax);
    Assembler assembler(kPayloadBytesMax, 100);
    for (uint64_t call = 1; call <= 5; ++call) {
      ASSERT_TRUE(
          queue.push(message(FrameKind::request, call, Priority::training, call * 200'000 - 200'000)));
    }
    const std::vector<Arrival> arrivals = carry(queue, assembler, piece_bytes);
    ASSERT_EQ(arrivals.size(), 5u);
    for (const Arrival& arrival : arrivals) {
      EXPECT_EQ(arrival.payload.size(), arrival.header.call * 200'000 - 200'000);
      for (const std::byte byte : arrival.payload.bytes()) {
        ASSERT_EQ(byte, static_cast<std::byte>(arrival.header.call));
      }
    }
  }
}

TEST(Assembler, TakesNoMoreThanItsLimit) {
  FrameQueue queue(kPayloadBytesMax);
  Assembler assembler(1'000'000, 100);
  assembler.hold(600'000);
  ASSERT_TRUE(queue.push(message(FrameKind::request, 1, Priority::training, 500'000)));
  std::vector<Arrival> arrivals = carry(queue, assembler, 7000);
  ASSERT_EQ(arrivals.size(), 1u);
  EXPECT_TRUE(arrivals[0].too_much);
  assembler.release(600'000);
  ASSERT_TRUE(queue.push(message(FrameKind::request, 2, Priority::training, 500'000)));
  arrivals = carry(queue, assembler, 7000);
  ASSERT_EQ(arrivals.size(), 1u);
  EXPECT_FALSE(arrivals[0].too_much);
}

TEST(Assembler, RefusesChunksThatDoNotFit) {
  const std::vector<std::byte> bytes(kFrameHeaderBytes + 10);
  const std::vector<base::Bytes> pieces = {bytes};
  Assembler assembler(1 << 20, 1);
  // Ten bytes of five; ten of a message that would fill whole chunks.
  EXPECT_FALSE(
      assembler.take({.kind = FrameKind::request, .call = 1, .payload_bytes = 5}, {nullptr, pieces}, 0).ok());
  EXPECT_FALSE(
      assembler.take({.kind = FrameKind::request, .call = 1, .payload_bytes = 300'000}, {nullptr, pieces}, 0)
          .ok());
  // More of a message that is not there is the rest of one that was cancelled.
  EXPECT_TRUE(assembler.take({.kind = FrameKind::more, .call = 1}, {nullptr, pieces}, 0).ok());
}

}  // namespace
}  // namespace agora::peers
