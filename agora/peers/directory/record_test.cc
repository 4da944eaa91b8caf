#include "agora/peers/directory/record.h"

#include <string>
#include <vector>

#include "agora/peers/identity/identity.h"
#include <gtest/gtest.h>

namespace agora::peers {
namespace {

Record sample() {
  Record record;
  record.swarm.bytes[31] = std::byte{7};
  record.endpoint = {"2001:db8::1", 4700};
  record.sequence = UINT64_MAX;
  record.ttl_s = 600;
  record.leaving = true;
  record.body = std::string("\0body", 5);
  return record;
}

bool holds(base::Bytes bytes) {
  const StatusOr<Record> record = read_record(bytes);
  return record.ok() && signature_holds(*record, bytes);
}

TEST(Record, ComesBackAsItWasSigned) {
  const Identity identity = Identity::from_seed(1);
  const std::vector<std::byte> bytes = *sign_record(sample(), identity);
  const StatusOr<Record> record = read_record(bytes);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_TRUE(signature_holds(*record, bytes));
  EXPECT_EQ(record->peer, identity.id());
  EXPECT_EQ(record->key, identity.public_key());
  EXPECT_EQ(record->swarm, sample().swarm);
  EXPECT_EQ(record->endpoint, sample().endpoint);
  EXPECT_EQ(record->sequence, UINT64_MAX);
  EXPECT_EQ(record->ttl_s, 600u);
  EXPECT_TRUE(record->leaving);
  EXPECT_EQ(record->body, sample().body);
}

TEST(Record, AnyChangedByteIsRefused) {
  const std::vector<std::byte> good = *sign_record(sample(), Identity::from_seed(1));
  for (size_t i = 0; i < good.size(); ++i) {
    std::vector<std::byte> bad = good;
    bad[i] ^= std::byte{0x10};
    EXPECT_FALSE(holds(bad)) << "byte " << i;
  }
}

TEST(Record, AnyOtherLengthIsRefused) {
  std::vector<std::byte> bytes = *sign_record(sample(), Identity::from_seed(1));
  for (size_t i = 0; i < bytes.size(); ++i) EXPECT_FALSE(holds(base::Bytes(bytes).first(i))) << i;
  for (const size_t size : {bytes.size() + 1, kRecordBytesMax + 1}) {
    bytes.resize(size);
    EXPECT_TRUE(absl::IsInvalidArgument(read_record(bytes).status())) << size;
  }
}

TEST(Record, TheSignatureIsAQuestionOfItsOwn) {
  std::vector<std::byte> bytes = *sign_record(sample(), Identity::from_seed(1));
  bytes.back() ^= std::byte{1};
  EXPECT_TRUE(read_record(bytes).ok());
  EXPECT_FALSE(holds(bytes));
}

TEST(Record, TheLargestFitsIntoAnItemOfTheDht) {
  Record record = sample();
  record.body.assign(kRecordBodyBytesMax, 'x');
  record.endpoint.host = "2001:0db8:0000:0000:0000:ffff:192.168.100.200";
  EXPECT_LE(sign_record(record, Identity::from_seed(1))->size(), kRecordBytesMax);
  record.body += 'x';
  EXPECT_TRUE(absl::IsResourceExhausted(sign_record(record, Identity::from_seed(1)).status()));
}

TEST(Record, FieldsThatHelpNobodyAreRefused) {
  for (const std::string& host : {std::string(), std::string("a b"), std::string("\x1b[0m"),
                                  std::string(47, '1'), std::string("localhost"), std::string("unix")}) {
    Record record = sample();
    record.endpoint.host = host;
    EXPECT_TRUE(absl::IsInvalidArgument(sign_record(record, Identity::from_seed(1)).status())) << host;
  }
  for (const uint32_t ttl_s : {0u, kRecordTtlMaxS + 1}) {
    Record record = sample();
    record.ttl_s = ttl_s;
    EXPECT_FALSE(sign_record(record, Identity::from_seed(1)).ok()) << ttl_s;
  }
}

}  // namespace
}  // namespace agora::peers
