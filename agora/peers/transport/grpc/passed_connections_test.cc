#include "agora/peers/transport/grpc/passed_connections.h"

#include <unistd.h>

#include <array>
#include <string>

#include "agora/base/virtual_loop.h"
#include "agora/peers/identity/identity.h"
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace agora::peers {
namespace {

// Both ends of a connection: ours, as gRPC has it, and the stranger's.
class Pair {
 public:
  Pair() { EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends_.data()), 0); }
  ~Pair() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  Pair(const Pair&) = delete;

  int ours() const { return ends_[0]; }
  bool cut_off() const {
    char byte;
    return ::recv(ends_[1], &byte, 1, MSG_DONTWAIT) == 0;
  }

 private:
  std::array<int, 2> ends_{};
};

class PassedConnectionsTest : public testing::Test {
 protected:
  base::VirtualLoop loop_;
  Meters meters_;
  PassedConnections passed_{{.connections_unproven_max = 4}, loop_, meters_};
};

PeerId peer(uint64_t seed) { return Identity::from_seed(seed).id(); }

TEST_F(PassedConnectionsTest, WhoBeginsASecondStreamIsCutOff) {
  const Endpoint first{"10.0.0.1", 1}, second{"10.0.0.1", 2}, third{"10.0.0.1", 3};
  const Pair a, b, c;
  ASSERT_TRUE(passed_.add(first, a.ours()));
  ASSERT_TRUE(passed_.add(second, b.ours()));
  ASSERT_TRUE(passed_.add(third, c.ours()));
  passed_.streams(first, peer(1));
  passed_.streams(second, peer(2));
  passed_.proven(first);  // helps nobody
  passed_.second_stream(peer(1));
  EXPECT_TRUE(a.cut_off());
  EXPECT_FALSE(b.cut_off());
  EXPECT_FALSE(c.cut_off());
  EXPECT_EQ(meters_.connections_refused, 1u);
}

TEST_F(PassedConnectionsTest, StreamsBeforeTheFirstIsKnownAreFoundByTheirBytes) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&at), size), 0);
  ASSERT_EQ(::listen(listener, 2), 0);
  ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size), 0);
  std::array<int, 2> theirs{}, ours{};
  for (uint16_t i = 0; i < 2; ++i) {
    theirs[i] = ::socket(AF_INET, SOCK_STREAM, 0);
    ASSERT_EQ(::connect(theirs[i], reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    ours[i] = ::accept(listener, nullptr, nullptr);
    ASSERT_TRUE(passed_.add({"10.0.0.1", i}, ours[i]));
    for (size_t sent = 0; sent < (i == 0 ? 10'000 : 100'000); sent += 1000) {
      std::array<char, 1000> bytes{};
      ASSERT_EQ(::send(theirs[i], bytes.data(), bytes.size(), 0), 1000);
      ASSERT_EQ(::recv(ours[i], bytes.data(), bytes.size(), MSG_WAITALL), 1000);
    }
  }
  passed_.second_stream(peer(1));
  EXPECT_EQ(meters_.connections_refused, 1u);
  char byte;
  EXPECT_EQ(::recv(theirs[1], &byte, 1, 0), 0);
  EXPECT_LT(::recv(theirs[0], &byte, 1, MSG_DONTWAIT), 0);
  for (const int fd : {listener, theirs[0], theirs[1], ours[0], ours[1]}) ::close(fd);
}

TEST_F(PassedConnectionsTest, WhoHasNoProofInTimeIsCutOff) {
  const Endpoint stranger{"10.0.0.1", 1}, member{"10.0.0.1", 2};
  const Pair a, b;
  ASSERT_TRUE(passed_.add(stranger, a.ours()));
  ASSERT_TRUE(passed_.add(member, b.ours()));
  passed_.proven(member);
  loop_.run_for(60 * base::kSecondNs);
  passed_.forget_ended();
  EXPECT_TRUE(a.cut_off());
  EXPECT_FALSE(b.cut_off());
}

TEST_F(PassedConnectionsTest, AFloodFromOneNetworkMakesRoomItself) {
  const Pair honest, member, a, b, c, newcomer;
  ASSERT_TRUE(passed_.add({"10.0.0.1", 1}, member.ours()));
  passed_.proven({"10.0.0.1", 1});
  ASSERT_TRUE(passed_.add({"2001:db8:1::1", 1}, honest.ours()));
  ASSERT_TRUE(passed_.add({"2001:db8:2::1", 1}, a.ours()));
  ASSERT_TRUE(passed_.add({"2001:db8:2::2", 1}, b.ours()));
  ASSERT_TRUE(passed_.add({"2001:db8:2::3", 1}, c.ours()));
  ASSERT_TRUE(passed_.add({"10.0.0.1", 2}, newcomer.ours()));
  EXPECT_TRUE(a.cut_off());
  for (const Pair* stays : {&honest, &member, &b, &c, &newcomer}) EXPECT_FALSE(stays->cut_off());
  EXPECT_EQ(meters_.connections_refused, 1u);
}

TEST_F(PassedConnectionsTest, OfManyNetworksTheOldestMakesRoom) {
  const std::array<Pair, 6> pairs;
  for (uint16_t i = 0; i < pairs.size(); ++i) {
    ASSERT_TRUE(passed_.add({"10.0.0." + std::to_string(9 - i), 1}, pairs[i].ours()));
  }
  for (size_t i = 0; i < pairs.size(); ++i) EXPECT_EQ(pairs[i].cut_off(), i < 2) << i;
}

}  // namespace
}  // namespace agora::peers
