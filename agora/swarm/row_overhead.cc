#include "agora/swarm/row_overhead.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <utility>
#include <vector>

#include "agora/base/thread_loop.h"
#include "agora/peers/transport/grpc/grpc_transport.h"
#include "agora/swarm/finder/finder.h"
#include "agora/swarm/host/expert_store.h"
#include "agora/swarm/host/host_service.h"
#include "agora/swarm/peer_state.h"
#include "agora/swarm/remote_experts.h"
#include <sys/socket.h>
#include <sys/wait.h>

namespace agora::swarm {
namespace {

constexpr ExpertName kExpert{};
constexpr uint64_t kHostSeed = 1, kGateSeed = 2;  // of their identities

// Knows one host.
class OneHost final : public peers::Directory {
 public:
  explicit OneHost(const peers::Endpoint& host) {
    PeerState state;
    state.host = true;
    state.held.push_back({.layer = kExpert.layer, .first = kExpert.expert.value, .count = 1, .leads = true});
    record_->peer = peers::Identity::from_seed(kHostSeed).id();
    record_->endpoint = host;
    record_->body = encode(state);
  }
  void publish(std::string) override {}
  void subscribe(Listener listener) override { listener({peers::DirectoryEvent::Kind::seen, record_}); }
  void join(const peers::Endpoint&) override {}
  void leave(std::function<void()> done) override { done(); }
  std::vector<std::shared_ptr<const peers::Record>> records() const override { return {record_}; }
  peers::DirectoryCounters counters() const override { return {}; }

 private:
  std::shared_ptr<peers::Record> record_ = std::make_shared<peers::Record>();
};

SwarmSpec spec_of(const RowOverheadConfig& config) {
  SwarmSpec spec;
  spec.name = "row overhead";
  spec.layers = spec.experts = spec.experts_max = 1;
  spec.shape.d = config.width;
  spec.shape.h = config.hidden;
  spec.updates = UpdateMode::synchronous;
  return spec;
}

StatusOr<std::unique_ptr<peers::GrpcTransport>> start(uint64_t seed) {
  peers::GrpcTransportConfig config;
  config.listen = {"127.0.0.1", 0};
  return peers::GrpcTransport::start(peers::Identity::from_seed(seed), config);
}

StatusOr<std::unique_ptr<ExpertStore>> make_store(const moe::Compute& compute,
                                                  const RowOverheadConfig& config) {
  AGORA_ASSIGN_OR_RETURN(std::unique_ptr<ExpertStore> store, ExpertStore::create(compute, spec_of(config)));
  store->adopt(kExpert);
  store->set_role(kExpert, Role::leader, 1);
  return store;
}

// The child: tells its endpoint's port, and serves until the other end closes.
Status serve(const moe::Compute& compute, const RowOverheadConfig& config, int socket) {
  AGORA_ASSIGN_OR_RETURN(const std::unique_ptr<ExpertStore> store, make_store(compute, config));
  AGORA_ASSIGN_OR_RETURN(const std::unique_ptr<peers::GrpcTransport> transport, start(kHostSeed));
  base::ThreadLoop compute_loop("bench-compute");
  Executor executor(compute_loop);
  const HostService service(*transport, executor, *store, spec_of(config), {});
  uint16_t port = transport->endpoint().port;
  if (::send(socket, &port, sizeof port, MSG_NOSIGNAL) == sizeof port) ::recv(socket, &port, 1, MSG_WAITALL);
  transport->stop();
  return absl::OkStatus();
}

// A host in a process of its own, as hosts are: all completion queues of a process share one poller, and the
// gate's and the host's would hand each other's events over.
class HostProcess {
 public:
  static StatusOr<std::unique_ptr<HostProcess>> start(const moe::Compute& compute,
                                                      const RowOverheadConfig& config) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
      return absl::ResourceExhaustedError("row overhead: expected a pair of sockets");
    }
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(ends[0]);
      std::_Exit(serve(compute, config, ends[1]).ok() ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    ::close(ends[1]);
    std::unique_ptr<HostProcess> host(new HostProcess(child, ends[0]));
    if (child < 0 || ::recv(ends[0], &host->port_, sizeof host->port_, MSG_WAITALL) != sizeof host->port_) {
      return absl::UnavailableError("row overhead: the process of the host did not start");
    }
    return host;
  }
  ~HostProcess() {
    ::close(socket_);
    if (child_ > 0) ::waitpid(child_, nullptr, 0);
  }

  peers::Endpoint endpoint() const { return {"127.0.0.1", port_}; }

 private:
  HostProcess(pid_t child, int socket) : child_(child), socket_(socket) {}

  const pid_t child_;
  const int socket_;
  uint16_t port_ = 0;
};

// Microseconds of each call, ascending.
template <class Call>
StatusOr<std::vector<double>> time_calls(const RowOverheadConfig& config, const Call& call) {
  const RealClock clock;
  std::vector<double> us;
  for (int i = 0; i < config.warm_up + config.calls; ++i) {
    const int64_t begin_ns = clock.now_ns();
    AGORA_RETURN_IF_ERROR(call());
    if (i >= config.warm_up) us.push_back(static_cast<double>(clock.now_ns() - begin_ns) / 1e3);
  }
  std::sort(us.begin(), us.end());
  return us;
}

}  // namespace

StatusOr<RowOverhead> measure_row_overhead(const moe::Compute& compute, const RowOverheadConfig& config) {
  AGORA_ASSIGN_OR_RETURN(const std::unique_ptr<HostProcess> host, HostProcess::start(compute, config));
  AGORA_ASSIGN_OR_RETURN(const std::unique_ptr<ExpertStore> store, make_store(compute, config));

  tensor::Buffer<float> x(1, config.width, tensor::Purpose::activation);
  tensor::Buffer<float> y(1, config.width, tensor::Purpose::activation);
  Rng rng(1);
  for (float& value : x.flat()) value = rng.normal();
  const moe::Route route{.first = {0, 1}, .expert = {kExpert.expert.value}, .weight = {1.0f}};
  AGORA_ASSIGN_OR_RETURN(const std::vector<double> alone, time_calls(config, [&] {
                           return store->mix_entries(kExpert.layer, x.view(), route, y.view()).status();
                         }));

  AGORA_ASSIGN_OR_RETURN(const std::unique_ptr<peers::GrpcTransport> gate, start(kGateSeed));
  base::ThreadLoop gate_loop("bench-gate");
  OneHost directory(host->endpoint());
  Finder finder(gate_loop, directory, spec_of(config), Rng(2));
  AGORA_RETURN_IF_ERROR(finder.wait_until_covered(1, 1, gate_loop.now_ns() + 5 * base::kSecondNs));
  RemoteExpertsConfig remote_config;
  remote_config.priority = peers::Priority::interactive;
  remote_config.exact = true;
  RemoteExperts remote(gate_loop, *gate, finder, spec_of(config), remote_config);
  const StatusOr<std::vector<double>> called = time_calls(config, [&]() -> Status {
    AGORA_ASSIGN_OR_RETURN(
        const moe::MixResult mixed,
        remote.mix(kExpert.layer, x.view(), route, moe::Keep::nothing, moe::kNoDeadline, y.view()));
    return mixed.arrived[0] != 0 ? absl::OkStatus() : absl::UnavailableError("the host did not answer");
  });
  gate->stop();
  AGORA_RETURN_IF_ERROR(called.status());
  const double compute_us = alone[alone.size() / 2];
  return RowOverhead{.p50_us = (*called)[called->size() / 2] - compute_us,
                     .p99_us = (*called)[called->size() * 99 / 100] - compute_us};
}

}  // namespace agora::swarm
