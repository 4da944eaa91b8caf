#include "agora/peers/ports.h"

#include <unistd.h>

#include <algorithm>

#include "agora/base/check.h"
#include "agora/base/run_on.h"
#include "agora/base/thread_loop.h"
#include "agora/peers/identity/identity.h"
#include "agora/peers/transport/loopback.h"
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace agora::peers {
namespace {

// Another program that listens at a port of this machine, until it goes.
class OtherProgram {
 public:
  OtherProgram() : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    AGORA_CHECK(bind(socket_, reinterpret_cast<const sockaddr*>(&at), size) == 0 && listen(socket_, 1) == 0);
    AGORA_CHECK(getsockname(socket_, reinterpret_cast<sockaddr*>(&at), &size) == 0);
    port_ = ntohs(at.sin_port);
  }
  ~OtherProgram() { close(socket_); }
  OtherProgram(const OtherProgram&) = delete;
  OtherProgram& operator=(const OtherProgram&) = delete;

  // Of a transport whose directory's port this program has.
  uint16_t transport_port() const { return static_cast<uint16_t>(port_ - (dht_port(1) - 1)); }

 private:
  int socket_;
  uint16_t port_ = 0;
};

class PortsTest : public testing::Test {
 protected:
  StatusOr<std::unique_ptr<Transport>> transport_at(uint16_t port) {
    made_.push_back(port);
    return std::make_unique<LoopbackTransport>(network_, Identity::generate().id(),
                                               Endpoint{"127.0.0.1", port});
  }

  base::ThreadLoop loop_{"test"};
  std::shared_ptr<LoopbackNetwork> network_ = std::make_shared<LoopbackNetwork>(loop_);
  std::vector<uint16_t> made_;
};

TEST_F(PortsTest, AnyPortIsOneWhoseDirectoryPortIsFree) {
  const OtherProgram first, second;
  const uint16_t free = OtherProgram().transport_port();
  auto ports = open_ports(loop_, {"127.0.0.1", 0}, [&] {
    const uint16_t next[] = {first.transport_port(), second.transport_port(), free};
    return transport_at(next[std::min<size_t>(made_.size(), 2)]);
  });
  ASSERT_TRUE(ports.ok()) << ports.status();
  EXPECT_EQ(made_.size(), 3u);
  EXPECT_EQ(ports->transport->endpoint().port, free);
  base::run_on(loop_, [&] { ports->dht.reset(); });
}

TEST_F(PortsTest, APortThatWasAskedForIsThatOrAnError) {
  const OtherProgram other;
  const uint16_t port = other.transport_port();
  const auto ports = open_ports(loop_, {"127.0.0.1", port}, [&] { return transport_at(port); });
  EXPECT_TRUE(absl::IsUnavailable(ports.status())) << ports.status();
  EXPECT_EQ(made_.size(), 1u);
  EXPECT_THAT(std::string(ports.status().message()),
              testing::AllOf(testing::HasSubstr(std::to_string(port)),
                             testing::HasSubstr(std::to_string(dht_port(port)))));
}

}  // namespace
}  // namespace agora::peers
