#include "agora/peers/ports.h"

#include <unistd.h>

#include "agora/base/thread_loop.h"
#include "agora/peers/transport/grpc/grpc_transport.h"
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace agora::peers {
namespace {

// Another program that listens at a port of this machine, until it goes.
class OtherProgram {
 public:
  explicit OtherProgram(uint16_t port) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(socket_, reinterpret_cast<const sockaddr*>(&at), sizeof at);
    listen(socket_, 1);
  }
  ~OtherProgram() { close(socket_); }
  OtherProgram(const OtherProgram&) = delete;
  OtherProgram& operator=(const OtherProgram&) = delete;

 private:
  int socket_;
};

StatusOr<std::unique_ptr<Transport>> any_transport() {
  GrpcTransportConfig config;
  config.listen = {"127.0.0.1", 0};
  return GrpcTransport::start(Identity::generate(), config);
}

TEST(Ports, AnyPortIsOneWhoseDirectoryPortIsFree) {
  base::ThreadLoop loop("test");
  std::vector<std::unique_ptr<OtherProgram>> others;
  std::vector<uint16_t> made;
  const auto ports = open_ports(loop, {"127.0.0.1", 0}, [&]() -> StatusOr<std::unique_ptr<Transport>> {
    AGORA_ASSIGN_OR_RETURN(auto transport, any_transport());
    made.push_back(transport->endpoint().port);
    if (made.size() <= 2) others.push_back(std::make_unique<OtherProgram>(dht_port(made.back())));
    return transport;
  });
  ASSERT_TRUE(ports.ok()) << ports.status();
  EXPECT_GE(made.size(), 3u);
  EXPECT_EQ(ports->transport->endpoint().port, made.back());
}

TEST(Ports, APortThatWasAskedForIsThatOrAnError) {
  base::ThreadLoop loop("test");
  StatusOr<std::unique_ptr<Transport>> transport = any_transport();
  ASSERT_TRUE(transport.ok()) << transport.status();
  const uint16_t port = (*transport)->endpoint().port;
  const OtherProgram other(dht_port(port));
  int made = 0;
  const auto ports = open_ports(loop, {"127.0.0.1", port}, [&] {
    ++made;
    return std::move(transport);
  });
  EXPECT_TRUE(absl::IsUnavailable(ports.status())) << ports.status();
  EXPECT_EQ(made, 1);
  EXPECT_THAT(std::string(ports.status().message()),
              testing::AllOf(testing::HasSubstr(std::to_string(port)),
                             testing::HasSubstr(std::to_string(dht_port(port)))));
}

}  // namespace
}  // namespace agora::peers
