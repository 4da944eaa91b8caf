#include "agora/swarm/host/ticket_table.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::swarm {
namespace {

using moe::Ticket;
using testing::ElementsAre;
using testing::IsEmpty;

peers::PeerId peer(int n) {
  peers::PeerId id;
  id.bytes[0] = static_cast<std::byte>(n);
  return id;
}

class TicketTableTest : public testing::Test {
 protected:
  Ticket add(TicketTable& table, int owner, uint64_t kept, int64_t now = 0, int64_t bytes = 1) {
    return table.add(
        {.owner = peer(owner), .kept = {kept}, .layer = LayerId(0), .rows = 1, .choices = 1, .bytes = bytes},
        now, forgotten_);
  }
  std::vector<Ticket> forgotten_;
};

TEST_F(TicketTableTest, BelongsToItsOwner) {
  TicketTable table({}, Rng(1));
  const Ticket ticket = add(table, 1, 42);
  ASSERT_NE(table.find(ticket, peer(1)), nullptr);
  EXPECT_EQ(table.find(ticket, peer(1))->kept, Ticket{42});
  EXPECT_EQ(table.find(ticket, peer(2)), nullptr);
  EXPECT_EQ(table.find(Ticket{ticket.value + 1}, peer(1)), nullptr);
  table.remove(ticket);
  table.remove(ticket);
  EXPECT_EQ(table.find(ticket, peer(1)), nullptr);
  EXPECT_EQ(table.size(), 0u);
}

TEST_F(TicketTableTest, TheOldestGoesWhenThereAreTooMany) {
  TicketTable table({.tickets_max = 3}, Rng(1));
  for (uint64_t i = 1; i <= 5; ++i) add(table, static_cast<int>(i), i);
  EXPECT_THAT(forgotten_, ElementsAre(Ticket{1}, Ticket{2}));
  EXPECT_EQ(table.size(), 3u);
}

TEST_F(TicketTableTest, OnePeerTakesNothingFromOthers) {
  TicketTable table({.tickets_max = 100, .tickets_per_peer_max = 2}, Rng(1));
  add(table, 1, 1);
  for (uint64_t i = 2; i <= 5; ++i) add(table, 2, i);
  EXPECT_THAT(forgotten_, ElementsAre(Ticket{2}, Ticket{3}));
}

TEST_F(TicketTableTest, BytesAreBounded) {
  TicketTable table({.bytes_max = 100}, Rng(1));
  add(table, 1, 1, 0, 60);
  add(table, 1, 2, 0, 30);
  EXPECT_THAT(forgotten_, IsEmpty());
  add(table, 1, 3, 0, 50);
  EXPECT_THAT(forgotten_, ElementsAre(Ticket{1}));
}

TEST_F(TicketTableTest, AgeIsBounded) {
  TicketTable table({.age_ns_max = 10}, Rng(1));
  add(table, 1, 1, 0);
  add(table, 1, 2, 5);
  table.expire(9, forgotten_);
  EXPECT_THAT(forgotten_, IsEmpty());
  table.expire(10, forgotten_);
  EXPECT_THAT(forgotten_, ElementsAre(Ticket{1}));
  add(table, 1, 3, 15);
  EXPECT_THAT(forgotten_, ElementsAre(Ticket{1}, Ticket{2}));
}

TEST_F(TicketTableTest, NumbersAreNotInARow) {
  TicketTable table({}, Rng(1));
  std::set<uint64_t> high;
  for (uint64_t i = 0; i < 100; ++i) high.insert(add(table, 1, i).value >> 32);
  EXPECT_GT(high.size(), 90u);
}

}  // namespace
}  // namespace agora::swarm
