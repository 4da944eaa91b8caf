// How long a call takes over TLS between two processes, beside a bare gRPC echo on one stream in the same
// run.
//
//   build/bin/transport_bench [SECONDS_OF_EACH]
//
// Prints microseconds: p50 and p99 of a blocking caller, the ratio of p50 to the bare echo's, and what both
// processes spend on an echo. The bare echo has the same TLS, one completion queue and thread a side, no
// frames, no calls and no checks: what a transport over gRPC can reach at best. Rounds of both alternate,
// because other programs disturb them alike then. Each of the four sides is a process of its own: all
// completion queues of a process share one poller, and two of them would hand each other's events over.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "agora/base/check.h"
#include "agora/base/clock.h"
#include "agora/base/mutex.h"
#include "agora/peers/transport/grpc/grpc_transport.h"
#include "agora/peers/transport/grpc/tls.h"
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <sys/wait.h>

namespace agora::peers {
namespace {

constexpr Method kEcho{20};
constexpr int kRounds = 8;
constexpr int kWarmEchoes = 20;  // at the start of a round; not timed
using Tag = std::function<void(bool)>;

void run_queue(grpc::CompletionQueue& queue) {
  void* tag = nullptr;
  bool ok = false;
  while (queue.Next(&tag, &ok)) (*static_cast<Tag*>(tag))(ok);
}

// Waits for one thing at a time.
class Event {
 public:
  void set() {
    base::MutexLock lock(mutex_);
    ++count_;
    changed_.wake_all();
  }
  void wait(int count) {
    base::MutexLock lock(mutex_);
    while (count_ < count) changed_.wait(mutex_);
    count_ -= count;
  }

 private:
  base::Mutex mutex_;
  base::Condition changed_;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;
};

void tell(int pipe, const void* bytes, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = ::write(pipe, static_cast<const char*>(bytes) + done, size - done);
    AGORA_CHECK_GT(n, 0);
    done += static_cast<size_t>(n);
  }
}

void hear(int pipe, void* bytes, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = ::read(pipe, static_cast<char*>(bytes) + done, size - done);
    AGORA_CHECK_GT(n, 0);
    done += static_cast<size_t>(n);
  }
}

// Processes that serve: they write their port to the pipe and run until they are killed.
[[noreturn]] void serve_calls(int port_to) {
  auto peer = GrpcTransport::start(Identity::from_seed(2),
                                   {.listen = {"127.0.0.1", 0}, .swarm_key = {}, .limits = {}});
  AGORA_CHECK(peer.ok());
  (*peer)->serve(kEcho,
                 [](std::shared_ptr<IncomingCall> call) { call->reply(absl::OkStatus(), call->payload()); });
  const int port = (*peer)->endpoint().port;
  tell(port_to, &port, sizeof port);
  for (;;) ::pause();
}

[[noreturn]] void serve_bare(int port_to) {
  grpc::AsyncGenericService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0",
                           server_credentials(
                               Identity::from_seed(2), [] {}, [](const PeerId&) {}),
                           &port);
  builder.RegisterAsyncGenericService(&service);
  const auto queue = builder.AddCompletionQueue();
  const auto server = builder.BuildAndStart();
  grpc::GenericServerContext context;
  grpc::GenericServerAsyncReaderWriter stream(&context);
  grpc::ByteBuffer bytes;
  Tag read, write;
  read = [&](bool ok) { ok ? stream.Write(bytes, &write) : void(); };
  write = [&](bool ok) { ok ? stream.Read(&bytes, &read) : void(); };
  service.RequestCall(&context, &stream, queue.get(), queue.get(), &write);
  tell(port_to, &port, sizeof port);
  run_queue(*queue);
  std::abort();
}

class BareEcho {
 public:
  explicit BareEcho(int port) {
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("agora");
    channel_ = grpc::CreateCustomChannel(
        "127.0.0.1:" + std::to_string(port),
        client_credentials(Identity::from_seed(1), std::make_shared<Pin>(Identity::from_seed(2).id())),
        arguments);
    stream_ = grpc::GenericStub(channel_).PrepareCall(&context_, "/bare/Echo", &queue_);
    stream_->StartCall(&done_);
    event_.wait(1);
  }
  ~BareEcho() {
    context_.TryCancel();
    grpc::Status status;
    stream_->Finish(&status, &done_);
    event_.wait(1);
    queue_.Shutdown();
    thread_.join();
  }

  void echo(const Payload& payload) {
    const grpc::Slice slice(payload.bytes().data(), payload.size(), grpc::Slice::STATIC_SLICE);
    stream_->Read(&answer_, &done_);
    stream_->Write(grpc::ByteBuffer(&slice, 1), &written_);
    event_.wait(2);
    AGORA_CHECK_EQ(answer_.Length(), payload.size());
  }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  Event event_;
  Tag done_ = [this](bool) { event_.set(); };
  Tag written_ = [this](bool) { event_.set(); };
  grpc::ByteBuffer answer_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  std::thread thread_{[this] { run_queue(queue_); }};
};

double at(std::vector<double>& us, double share) {
  std::ranges::sort(us);
  return us[static_cast<size_t>(share * static_cast<double>(us.size() - 1))];
}

std::vector<double> time_for(double seconds, const std::function<void()>& once) {
  const RealClock clock;
  const int64_t end_ns = clock.now_ns() + static_cast<int64_t>(seconds * 1e9);
  for (int i = 0; i < kWarmEchoes; ++i) once();
  std::vector<double> us;
  for (int64_t now_ns = clock.now_ns(); now_ns < end_ns || us.empty();) {
    once();
    const int64_t after_ns = clock.now_ns();
    us.push_back(static_cast<double>(after_ns - now_ns) / 1e3);
    now_ns = after_ns;
  }
  return us;
}

struct Order {
  size_t bytes = 0;
  double seconds = 0;
};

// The bare side's caller: measures on order, until the pipe ends.
[[noreturn]] void call_bare(int port, int orders, int times_to) {
  BareEcho bare(port);
  for (;;) {
    Order order;
    hear(orders, &order, sizeof order);
    const Payload payload = Payload::own(std::vector<std::byte>(order.bytes));
    const std::vector<double> us = time_for(order.seconds, [&] { bare.echo(payload); });
    const size_t count = us.size();
    tell(times_to, &count, sizeof count);
    tell(times_to, us.data(), count * sizeof us[0]);
  }
}

class Caller {
 public:
  explicit Caller(int port) : at_{"127.0.0.1", static_cast<uint16_t>(port)} {
    auto peer = GrpcTransport::start(Identity::from_seed(1),
                                     {.listen = {"127.0.0.1", 0}, .swarm_key = {}, .limits = {}});
    AGORA_CHECK(peer.ok());
    peer_ = *std::move(peer);
  }

  void echo(const Payload& payload) {
    const auto done = [this](const Reply& reply) {
      AGORA_CHECK(reply.status.ok());
      event_.set();
    };
    peer_->call({.to = Identity::from_seed(2).id(),
                 .at = at_,
                 .method = kEcho,
                 .priority = Priority::interactive,
                 .deadline_ns = clock_.now_ns() + 10'000'000'000},
                payload, done);
    event_.wait(1);
  }

 private:
  const RealClock clock_;
  const Endpoint at_;
  Event event_;
  std::unique_ptr<GrpcTransport> peer_;
};

double cpu_us_of(pid_t process) {
  clockid_t clock;
  timespec spent{};
  AGORA_CHECK_EQ(clock_getcpuclockid(process, &clock), 0);
  AGORA_CHECK_EQ(clock_gettime(clock, &spent), 0);
  return static_cast<double>(spent.tv_sec) * 1e6 + static_cast<double>(spent.tv_nsec) / 1e3;
}

// Forks before gRPC has any thread here.
template <class Run>
pid_t start_process(const Run& run) {
  const pid_t child = ::fork();
  AGORA_CHECK_GE(child, 0);
  if (child == 0) run();
  return child;
}

int run(double seconds) {
  int calls_port_pipe[2], bare_port_pipe[2], orders[2], times[2];
  for (int* ends : {calls_port_pipe, bare_port_pipe, orders, times}) AGORA_CHECK_EQ(::pipe(ends), 0);
  std::vector<pid_t> children = {start_process([&] { serve_calls(calls_port_pipe[1]); }),
                                 start_process([&] { serve_bare(bare_port_pipe[1]); })};
  int calls_port = 0, bare_port = 0;
  hear(calls_port_pipe[0], &calls_port, sizeof calls_port);
  hear(bare_port_pipe[0], &bare_port, sizeof bare_port);
  children.push_back(start_process([&] { call_bare(bare_port, orders[0], times[1]); }));
  {
    Caller caller(calls_port);
    for (const size_t bytes : {size_t{256}, size_t{4096}, size_t{65536}, size_t{1} << 20}) {
      const Payload payload = Payload::own(std::vector<std::byte>(bytes));
      const Order order{.bytes = bytes, .seconds = seconds / kRounds / 2};
      std::vector<double> ours, theirs;
      double our_cpu_us = 0, their_cpu_us = 0;
      const auto our_cpu = [&] { return cpu_us_of(::getpid()) + cpu_us_of(children[0]); };
      const auto their_cpu = [&] { return cpu_us_of(children[1]) + cpu_us_of(children[2]); };
      for (int round = 0; round < kRounds; ++round) {
        their_cpu_us -= their_cpu();
        tell(orders[1], &order, sizeof order);
        size_t count = 0;
        hear(times[0], &count, sizeof count);
        std::vector<double> us(count);
        hear(times[0], us.data(), count * sizeof us[0]);
        their_cpu_us += their_cpu();
        theirs.insert(theirs.end(), us.begin(), us.end());
        our_cpu_us -= our_cpu();
        us = time_for(order.seconds, [&] { caller.echo(payload); });
        our_cpu_us += our_cpu();
        ours.insert(ours.end(), us.begin(), us.end());
      }
      const auto calls = static_cast<double>(ours.size() + kRounds * kWarmEchoes);
      const auto echoes = static_cast<double>(theirs.size() + kRounds * kWarmEchoes);
      std::printf(
          "%8zu bytes   call p50 %7.1f p99 %7.1f us   bare echo p50 %7.1f p99 %7.1f us   ratio %.2f   CPU of "
          "a call %.0f, of a bare echo %.0f us\n",
          bytes, at(ours, 0.5), at(ours, 0.99), at(theirs, 0.5), at(theirs, 0.99),
          at(ours, 0.5) / at(theirs, 0.5), our_cpu_us / calls, their_cpu_us / echoes);
    }
  }
  for (const pid_t child : children) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  return 0;
}

}  // namespace
}  // namespace agora::peers

int main(int argc, char** argv) {
  agora::peers::prepare_grpc();
  return agora::peers::run(argc > 1 ? std::atof(argv[1]) : 4.0);
}
