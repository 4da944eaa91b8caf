#include "agora/peers/directory/simulated_records.h"

#include <vector>

#include "agora/peers/directory/view.h"
#include <gtest/gtest.h>

namespace agora::peers {
namespace {

std::vector<std::byte> record(uint64_t number, uint64_t sequence) {
  Record record;
  record.endpoint = {"10.0.0.1", 4700};
  record.sequence = sequence;
  record.body = "body";
  return *sign_record(record, SimulatedSigner(number));
}

TEST(SimulatedRecords, AnyChangedByteIsNoticed) {
  SimulatedReader reader;
  const std::vector<std::byte> good = record(1, 1);
  EXPECT_TRUE(reader.holds(**reader.read(good)));
  for (size_t i = 0; i < good.size(); ++i) {
    std::vector<std::byte> bad = good;
    bad[i] ^= std::byte{0x10};
    const auto read = reader.read(bad);
    EXPECT_FALSE(read.ok() && reader.holds(**read)) << "byte " << i;
  }
}

TEST(SimulatedRecords, ViewsShareWhatTheyHold) {
  const auto reader = std::make_shared<SimulatedReader>();
  DirectoryView a({.swarm = {}, .self = {}}, reader), b({.swarm = {}, .self = {}}, reader);
  std::vector<DirectoryEvent> events;
  EXPECT_EQ(a.take(record(1, 1), 0, &events), Verdict::taken);
  EXPECT_EQ(b.take(record(1, 1), 0, &events), Verdict::taken);
  EXPECT_EQ(a.records().front().get(), b.records().front().get());
}

TEST(SimulatedRecords, WhatNobodyHoldsIsForgotten) {
  SimulatedReader reader;
  const auto held = *reader.read(record(1, 1));
  for (uint64_t i = 2; i < 10'000; ++i) ASSERT_TRUE(reader.read(record(i, 1)).ok());
  EXPECT_LE(reader.size(), 1024u);
  EXPECT_EQ(*reader.read(record(1, 1)), held);
}

}  // namespace
}  // namespace agora::peers
