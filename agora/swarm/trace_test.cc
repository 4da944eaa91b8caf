#include "agora/swarm/trace.h"

#include "agora/base/virtual_loop.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::swarm {
namespace {

Span span(uint64_t trace, int64_t begin_ns) {
  return {trace, "host.mix", begin_ns, begin_ns + 500, "3 rows"};
}

TEST(Trace, KeepsWhatBelongsToARequest) {
  const base::VirtualLoop loop;
  Trace trace(loop);
  trace.add(span(7, 100));
  trace.add(span(0, 200));
  trace.add(span(8, 300));
  trace.add(span(7, 400));
  const std::vector<Span> found = trace.spans_of(7);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].begin_ns, 100);
  EXPECT_EQ(found[1].begin_ns, 400);
  EXPECT_TRUE(trace.spans_of(0).empty());
}

TEST(Trace, ForgetsTheOldestFirst) {
  const base::VirtualLoop loop;
  Trace trace(loop);
  constexpr int64_t kMore = 10;
  for (int64_t i = 0; i < static_cast<int64_t>(Trace::kSpansMax) + kMore; ++i) trace.add(span(1, i));
  const std::vector<Span> found = trace.spans_of(1);
  ASSERT_EQ(found.size(), Trace::kSpansMax);
  EXPECT_EQ(found.front().begin_ns, kMore);
  EXPECT_EQ(found.back().begin_ns, kMore - 1 + static_cast<int64_t>(Trace::kSpansMax));
}

TEST(Trace, CutsLongTexts) {
  const base::VirtualLoop loop;
  Trace trace(loop);
  trace.add({1, std::string(1000, 'a'), 0, 1, std::string(1000, 'b')});
  EXPECT_EQ(trace.spans_of(1)[0].what.size(), Trace::kTextBytesMax);
  EXPECT_EQ(trace.spans_of(1)[0].detail.size(), Trace::kTextBytesMax);
}

TEST(Spans, TravelAsAges) {
  const auto spans = decode_spans(encode_spans({span(7, 1000), span(7, 4000)}, 5000));
  ASSERT_TRUE(spans.ok()) << spans.status();
  ASSERT_EQ(spans->size(), 2u);
  EXPECT_EQ((*spans)[0].age_ns, 4000);
  EXPECT_EQ((*spans)[1].age_ns, 1000);
  EXPECT_EQ((*spans)[1].duration_ns, 500);
  EXPECT_EQ((*spans)[1].what, "host.mix");
  EXPECT_EQ((*spans)[1].detail, "3 rows");
}

TEST(Spans, ForeignBytesAreRefused) {
  std::vector<std::byte> bytes = encode_spans({span(7, 1000), span(7, 4000)}, 5000);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_spans(base::Bytes(bytes).first(size)).ok()) << size;
  }
  bytes.push_back(std::byte{0});
  EXPECT_FALSE(decode_spans(bytes).ok());
  const std::vector<std::byte> many(4, std::byte{0xff});
  EXPECT_FALSE(decode_spans(many).ok());
}

// Whoever puts spans of many peers on one line of time adds and subtracts what they say.
TEST(Spans, TimesBeyondAllReasonAreRefused) {
  constexpr int64_t kMost = RemoteSpan::kTimeNsMax;
  EXPECT_TRUE(decode_spans(encode_spans({{7, "host.mix", 0, kMost}}, kMost)).ok());
  EXPECT_FALSE(decode_spans(encode_spans({{7, "host.mix", 0, 1}}, kMost + 1)).ok());
  EXPECT_FALSE(decode_spans(encode_spans({{7, "host.mix", 0, INT64_MAX}}, 1)).ok());
}

}  // namespace
}  // namespace agora::swarm
