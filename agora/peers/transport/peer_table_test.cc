#include "agora/peers/transport/peer_table.h"

#include "agora/base/virtual_loop.h"
#include "agora/peers/identity/identity.h"
#include <gtest/gtest.h>

namespace agora::peers {
namespace {

PeerId peer(uint64_t seed) { return Identity::from_seed(seed).id(); }

TEST(PeerTable, AFailureIsOfWhomWasWantedWhere) {
  base::VirtualLoop loop;
  const auto context = std::make_shared<SessionContext>(loop, std::make_shared<Calls>(loop));
  PeerTable table(peer(1), context->limits);
  const auto dial = [&](uint64_t to) {
    return table.begin_dial({.to = peer(to), .at = {"host", 1}},
                            std::make_shared<Session>(context, Session::Role::dialer), loop.now_ns());
  };
  const auto wrong = dial(2);
  ASSERT_TRUE(wrong.ok()) << wrong.status();
  table.closed(*wrong, loop.now_ns());  // another peer lives there
  EXPECT_TRUE(absl::IsUnavailable(dial(2).status()));
  const auto right = dial(3);
  EXPECT_TRUE(right.ok()) << right.status();
  loop.run_for(context->limits.dial_again_ns_max);
  EXPECT_TRUE(dial(2).ok());
}

}  // namespace
}  // namespace agora::peers
