#include "agora/peers/directory/discovery_bench.h"

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "agora/base/mutex.h"
#include "agora/base/run_on.h"
#include "agora/base/text.h"
#include "agora/base/thread_loop.h"
#include "agora/peers/directory/swarm_directory.h"
#include "agora/peers/ports.h"

namespace agora::peers {
namespace {

struct Peer {
  base::ThreadLoop* loop = nullptr;
  std::unique_ptr<Transport> transport;
  std::unique_ptr<Dht> dht;
  std::shared_ptr<SwarmDirectory> directory;
  size_t others_known = 0;  // on the loop
};

class Crowd {
 public:
  explicit Crowd(const DiscoverySettings& settings) : settings_(settings) {
    for (int i = 0; i < settings.loops; ++i) {
      loops_.push_back(std::make_unique<base::ThreadLoop>("discovery-" + std::to_string(i)));
    }
  }
  ~Crowd();

  Status start(const TransportMaker& make_transport);
  StatusOr<double> discover();

 private:
  Status start_peer(int number, const TransportMaker& make_transport);
  void tell(Peer& peer);

  DiscoverySettings settings_;
  RealClock clock_;
  std::vector<std::unique_ptr<base::ThreadLoop>> loops_;
  std::vector<std::unique_ptr<Peer>> peers_;
  base::Mutex mutex_;
  base::Condition changed_;
  int complete_ ABSL_GUARDED_BY(mutex_) = 0;
};

Crowd::~Crowd() {
  for (const auto& peer : peers_) peer->transport->stop();
  for (const auto& peer : peers_) {
    base::run_on(*peer->loop, [&] {
      peer->directory.reset();
      peer->dht.reset();
    });
  }
}

Status Crowd::start(const TransportMaker& make_transport) {
  for (int i = 0; i < settings_.peers; ++i) AGORA_RETURN_IF_ERROR(start_peer(i, make_transport));
  return absl::OkStatus();
}

Status Crowd::start_peer(int number, const TransportMaker& make_transport) {
  const Identity identity = Identity::generate();
  auto peer = std::make_unique<Peer>();
  peer->loop = loops_[static_cast<size_t>(number) % loops_.size()].get();
  AGORA_ASSIGN_OR_RETURN(Ports ports,
                         open_ports(*peer->loop, {"127.0.0.1", 0}, [&] { return make_transport(identity); }));
  peer->transport = std::move(ports.transport);
  peer->dht = std::move(ports.dht);
  const SwarmDirectorySettings settings{.swarm = {},
                                        .endpoint = {},
                                        .first_sequence = 1,
                                        .seed = static_cast<uint64_t>(number),
                                        .ttl_s = 30,
                                        .peers_max = 4096};
  base::run_on(*peer->loop, [&] {
    peer->directory = SwarmDirectory::create(settings, identity, *peer->loop, *peer->transport, *peer->dht);
  });
  peers_.push_back(std::move(peer));
  return absl::OkStatus();
}

void Crowd::tell(Peer& peer) {
  peer.directory->subscribe([this, &peer](const DirectoryEvent& event) {
    if (event.kind != DirectoryEvent::Kind::seen || ++peer.others_known + 1 != peers_.size()) return;
    base::MutexLock lock(mutex_);
    ++complete_;
    changed_.wake_all();
  });
  peer.directory->publish(std::string(150, 'b'));  // what a host of a few layers says
  if (&peer != peers_.front().get()) peer.directory->join(peers_.front()->transport->endpoint());
}

StatusOr<double> Crowd::discover() {
  const int64_t start_ns = clock_.now_ns();
  for (const auto& peer : peers_) peer->loop->post([this, &peer] { tell(*peer); });
  const int64_t end_ns = start_ns + static_cast<int64_t>(settings_.seconds_max * base::kSecondNs);
  base::MutexLock lock(mutex_);
  while (complete_ < settings_.peers) {
    if (clock_.now_ns() >= end_ns) {
      return absl::UnavailableError(base::concat("discovery: ", complete_, " of ", settings_.peers,
                                                 " peers knew all others after ", settings_.seconds_max,
                                                 " s"));
    }
    changed_.wait_until(mutex_, end_ns);
  }
  return static_cast<double>(clock_.now_ns() - start_ns) / base::kSecondNs;
}

}  // namespace

StatusOr<DiscoveryResult> bench_discovery(const DiscoverySettings& settings,
                                          const TransportMaker& make_transport) {
  DiscoveryResult result;
  Crowd crowd(settings);
  AGORA_RETURN_IF_ERROR(crowd.start(make_transport));
  AGORA_ASSIGN_OR_RETURN(result.discovery_s, crowd.discover());
  return result;
}

}  // namespace agora::peers
