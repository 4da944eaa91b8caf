// The running directory in two worlds: virtual time with a simulated DHT, and real time with libtorrent's.
#include <unistd.h>

#include <memory>
#include <utility>

#include "agora/base/awaited.h"
#include "agora/base/run_on.h"
#include "agora/base/thread_loop.h"
#include "agora/base/virtual_loop.h"
#include "agora/peers/directory/libtorrent_dht.h"
#include "agora/peers/directory/simulated_dht.h"
#include "agora/peers/transport/loopback.h"
#include <arpa/inet.h>
#include <sys/socket.h>

#include "tests/conformance/directory_suite.h"

namespace agora::tests {
namespace {

using base::kMillisecondNs;
using base::kSecondNs;
using peers::Endpoint;

class VirtualWorld final : public DirectoryWorld {
 public:
  base::Loop& loop() override { return loop_; }
  void on_loop(const std::function<void()>& task) override { task(); }
  bool wait(const std::function<bool()>& condition) override {
    const int64_t end_ns = loop_.now_ns() + 120 * kSecondNs;
    while (!condition()) {
      if (loop_.now_ns() >= end_ns) return false;
      loop_.run_for(10 * kMillisecondNs);
    }
    return true;
  }
  std::unique_ptr<peers::Transport> make_transport(const peers::Identity& identity) override {
    return std::make_unique<peers::LoopbackTransport>(network_, identity.id(),
                                                      Endpoint{"127.0.0.1", ++port_});
  }
  std::unique_ptr<peers::Dht> make_dht(const Endpoint&) override {
    return std::make_unique<peers::SimulatedDht>(table_);
  }

 private:
  base::VirtualLoop loop_;
  uint16_t port_ = 1000;
  peers::SimulatedDhtNetwork table_{loop_, 1};
  std::shared_ptr<peers::LoopbackNetwork> network_ = std::make_shared<peers::LoopbackNetwork>(loop_);
};

bool is_free(int type, uint16_t port) {
  const int fd = socket(AF_INET, type, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  at.sin_port = htons(port);
  const bool bound = bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0;
  close(fd);
  return bound;
}

// A port for a transport in this process whose DHT node would get a port that nobody has at the moment: below
// those that the system deals out, in a place of its own for each process, for tests that run beside it.
uint16_t port_with_free_dht_port() {
  constexpr uint16_t kFirst = 21'000, kCount = 10'000;
  static uint32_t next = static_cast<uint32_t>(getpid()) * 61;
  for (int tries = 0; tries < kCount; ++tries) {
    const auto port = static_cast<uint16_t>(kFirst + next++ % kCount);
    if (is_free(SOCK_DGRAM, port) && is_free(SOCK_STREAM, port)) {
      return static_cast<uint16_t>(port - (peers::dht_port(1) - 1));
    }
  }
  ADD_FAILURE() << "no free port from " << kFirst;
  return 0;
}

class LiveWorld final : public DirectoryWorld {
 public:
  base::Loop& loop() override { return loop_; }
  void on_loop(const std::function<void()>& task) override { base::run_on(loop_, task); }
  bool wait(const std::function<bool()>& condition) override {
    base::Awaited<bool> answer;
    const int64_t end_ns = loop_.now_ns() + 60 * kSecondNs;
    std::function<void()> ask = [&] {
      const bool holds = condition();
      if (holds || loop_.now_ns() >= end_ns) return answer.bring(holds);
      loop_.after(5 * kMillisecondNs, ask);
    };
    loop_.post(ask);
    return answer.wait();
  }
  std::unique_ptr<peers::Transport> make_transport(const peers::Identity& identity) override {
    return std::make_unique<peers::LoopbackTransport>(network_, identity.id(),
                                                      Endpoint{"127.0.0.1", port_with_free_dht_port()});
  }
  std::unique_ptr<peers::Dht> make_dht(const Endpoint& at) override {
    StatusOr<std::unique_ptr<peers::Dht>> dht = peers::start_libtorrent_dht(loop_, at);
    EXPECT_TRUE(dht.ok()) << dht.status();
    return *std::move(dht);
  }

 private:
  base::ThreadLoop loop_{"test"};
  std::shared_ptr<peers::LoopbackNetwork> network_ = std::make_shared<peers::LoopbackNetwork>(loop_);
};

template <class World>
DirectoryWorldMaker maker(const std::string& name) {
  return {name, [] { return std::make_unique<World>(); }};
}

INSTANTIATE_TEST_SUITE_P(Worlds, DirectorySuite,
                         testing::Values(maker<VirtualWorld>("simulated"), maker<LiveWorld>("libtorrent")),
                         name_of_world);

}  // namespace
}  // namespace agora::tests
