#include "agora/peers/directory/messages.h"

#include <algorithm>
#include <string>
#include <vector>

#include "agora/base/bytes.h"
#include <gtest/gtest.h>

namespace agora::peers {
namespace {

Payload bytes_of(const std::string& text) { return Payload::copy(base::as_bytes(text)); }

TEST(Messages, AnExchangeComesBackAsItWasWritten) {
  ExchangeRequest request{.records = {bytes_of("own")}, .arc = {7, 3}, .digest = {{1, 2}, {3, 4}}};
  const StatusOr<ExchangeRequest> read = parse_exchange_request(encode(request));
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->records.size(), 1u);
  EXPECT_EQ(base::as_text(read->records[0].bytes()), "own");
  EXPECT_EQ(read->arc.first, 7u);
  EXPECT_EQ(read->arc.last, 3u);
  ASSERT_EQ(read->digest.size(), 2u);
  EXPECT_EQ(read->digest[1].place, 3u);
  EXPECT_EQ(read->digest[1].sequence, 4u);
}

TEST(Messages, AReplyComesBackAsItWasWritten) {
  const ExchangeReply reply{.records = {bytes_of("a"), bytes_of("")}, .wanted = {9, 8}};
  const StatusOr<ExchangeReply> read = parse_exchange_reply(encode(reply));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->records.size(), 2u);
  EXPECT_EQ(read->wanted, reply.wanted);
}

TEST(Messages, AnyOtherLengthIsRefused) {
  const Payload request = encode(ExchangeRequest{{bytes_of("own")}, {}, {{1, 2}}});
  const Payload reply = encode(ExchangeReply{{bytes_of("own")}, {1}});
  const Payload push = encode_records({bytes_of("own")});
  for (size_t i = 0; i < request.size(); ++i)
    EXPECT_FALSE(parse_exchange_request(request.slice(0, i)).ok()) << i;
  for (size_t i = 0; i < reply.size(); ++i) EXPECT_FALSE(parse_exchange_reply(reply.slice(0, i)).ok()) << i;
  for (size_t i = 0; i < push.size(); ++i) EXPECT_FALSE(parse_records(push.slice(0, i)).ok()) << i;
  EXPECT_FALSE(parse_records(Payload::own(std::vector<std::byte>(10))).ok());
  EXPECT_FALSE(parse_records(Payload::own(std::vector<std::byte>(1 << 20))).ok());
}

TEST(Messages, CountsHaveLimits) {
  // 513 records of nothing; 257 entries.
  std::vector<std::byte> push(2 + 2 * 513);
  base::store_le(uint16_t{513}, push.data());
  EXPECT_FALSE(parse_records(Payload::own(push)).ok());
  EXPECT_FALSE(parse_records(encode_records(std::vector<Payload>(257))).ok());
  EXPECT_TRUE(parse_records(encode_records(std::vector<Payload>(256))).ok());
  std::vector<std::byte> request(2 + 16 + 2 + 257 * 16);
  base::store_le(uint16_t{257}, request.data() + 18);
  EXPECT_FALSE(parse_exchange_request(Payload::own(request)).ok());
  EXPECT_FALSE(parse_exchange_request(encode(ExchangeRequest{{bytes_of("own"), bytes_of("")}, {}, {}})).ok());
}

}  // namespace
}  // namespace agora::peers
