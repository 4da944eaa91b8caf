#include "apps/cli/swarm/bench_alone.h"

#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <ctime>

#include "agora/base/loop.h"
#include <sys/socket.h>
#include <sys/wait.h>

#include "apps/cli/machine.h"

namespace agora::cli {
namespace {

constexpr train::BenchRounds kRound, kWarmRound{.steps = 12};

// What a round gave.
struct Answer {
  std::array<double, kRound.steps> rates;
  int64_t rows, cpu_ns;
};

bool send_whole(int socket, const void* bytes, size_t size) {
  return ::send(socket, bytes, size, MSG_NOSIGNAL) == static_cast<ssize_t>(size);
}

bool receive_whole(int socket, void* bytes, size_t size) {
  return ::recv(socket, bytes, size, MSG_WAITALL) == static_cast<ssize_t>(size);
}

Status measure(train::BenchRun& run, const train::BenchRounds& rounds, train::BenchSide& side) {
  return side.round([&] { return run.step(); }, RealClock(), [] { return cpu_ns_of(getpid()); }, rounds);
}

// The child: a byte comes, a round goes; until the other end closes.
Status serve_rounds(int threads, int socket) {
  Machine machine(threads);
  AGORA_ASSIGN_OR_RETURN(const kernels::Compute compute, machine.compute("bf16"));
  AGORA_ASSIGN_OR_RETURN(const auto run, train::BenchRun::create(train::step_bench_options(), compute));
  train::BenchSide warm;
  AGORA_RETURN_IF_ERROR(measure(*run, kWarmRound, warm));
  char order = 0;
  while (send_whole(socket, &order, 1) && receive_whole(socket, &order, 1)) {
    train::BenchSide side;
    AGORA_RETURN_IF_ERROR(measure(*run, kRound, side));
    Answer answer{.rates = {}, .rows = side.rows, .cpu_ns = side.cpu_ns};
    std::copy(side.rates.begin(), side.rates.end(), answer.rates.begin());
    if (!send_whole(socket, &answer, sizeof answer)) break;
  }
  return absl::OkStatus();
}

Status ended() { return absl::InternalError("bench: the process that trains alone has ended"); }

}  // namespace

int64_t cpu_ns_of(pid_t process) {
  clockid_t clock;
  timespec spent;
  if (clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &spent) != 0) return 0;
  return int64_t{spent.tv_sec} * base::kSecondNs + spent.tv_nsec;
}

StatusOr<std::unique_ptr<AloneProcess>> AloneProcess::start(int threads) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return absl::ResourceExhaustedError("bench: expected a pair of sockets");
  }
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    std::_Exit(serve_rounds(threads, ends[1]).ok() ? EXIT_SUCCESS : EXIT_FAILURE);
  }
  ::close(ends[1]);
  if (child < 0) {
    ::close(ends[0]);
    return absl::ResourceExhaustedError("bench: expected a process more");
  }
  std::unique_ptr<AloneProcess> alone(new AloneProcess(child, ends[0]));
  char ready;
  if (!receive_whole(ends[0], &ready, 1)) return ended();
  return alone;
}

AloneProcess::~AloneProcess() {
  ::close(socket_);
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, 0);
}

Status AloneProcess::round() {
  char order = 0;
  Answer answer;
  if (!send_whole(socket_, &order, 1) || !receive_whole(socket_, &answer, sizeof answer) ||
      !receive_whole(socket_, &order, 1)) {
    return ended();
  }
  side_.rates.insert(side_.rates.end(), answer.rates.begin(), answer.rates.end());
  side_.rows += answer.rows;
  side_.cpu_ns += answer.cpu_ns;
  return absl::OkStatus();
}

}  // namespace agora::cli
