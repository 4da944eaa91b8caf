#include "agora/peers/transport/mailbox.h"

#include "agora/base/bytes.h"
#include <gtest/gtest.h>

namespace agora::peers {
namespace {

Payload payload(std::string_view text) { return Payload::copy(base::as_bytes(text)); }

TEST(Mailbox, GivesAllPartsAndThenTheReplies) {
  const auto mailbox = std::make_shared<Mailbox>(2);
  const CallEvents first = Mailbox::events(mailbox, 0);
  const CallEvents second = Mailbox::events(mailbox, 1);
  std::deque<Payload> parts;
  EXPECT_TRUE(mailbox->wait(/*until_ns=*/0, &parts)) << "nothing yet";
  EXPECT_TRUE(parts.empty());
  first.part(payload("a"));
  second.part(payload("b"));
  second.done({.status = absl::NotFoundError("no")});
  first.done({.payload = payload("whole")});
  ASSERT_TRUE(mailbox->wait(0, &parts));
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(base::as_text(parts[1].bytes()), "b");
  EXPECT_FALSE(mailbox->wait(0, &parts));
  EXPECT_TRUE(parts.empty());
  const std::vector<Reply> replies = mailbox->take();
  EXPECT_EQ(base::as_text(replies[0].payload.bytes()), "whole");
  EXPECT_TRUE(absl::IsNotFound(replies[1].status));
}

TEST(Mailbox, WhoSendsWithoutEndIsNotKept) {
  const auto mailbox = std::make_shared<Mailbox>(1);
  const CallEvents events = Mailbox::events(mailbox, 0);
  const Payload part = payload(std::string(kMailboxBytesMax / 4, 'x'));
  std::deque<Payload> parts;
  for (int i = 0; i < 8; ++i) {  // taken out in time
    events.part(part);
    ASSERT_TRUE(mailbox->wait(0, &parts));
    EXPECT_EQ(parts.size(), 1u);
  }
  for (int i = 0; i < 8; ++i) events.part(part);
  events.done({.payload = payload("whole")});
  ASSERT_TRUE(mailbox->wait(0, &parts));
  EXPECT_EQ(parts.size(), 4u);
  EXPECT_FALSE(mailbox->wait(0, &parts));
  EXPECT_TRUE(absl::IsResourceExhausted(mailbox->take()[0].status));
}

TEST(Mailbox, ACallMayEndWhenNobodyWaitsAnyMore) {
  auto mailbox = std::make_shared<Mailbox>(1);
  const CallEvents events = Mailbox::events(mailbox, 0);
  mailbox.reset();
  events.part(payload("late"));
  events.done({});
}

}  // namespace
}  // namespace agora::peers
