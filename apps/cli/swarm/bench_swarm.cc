#include "apps/cli/swarm/bench_swarm.h"

#include <cstdio>
#include <filesystem>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "agora/peers/directory/discovery_bench.h"
#include "agora/peers/transport/grpc/grpc_transport.h"
#include "agora/swarm/host/expert_overhead.h"
#include "agora/swarm/row_overhead.h"

#include "apps/cli/machine.h"
#include "apps/cli/outside_program.h"
#include "apps/cli/swarm/bench_training.h"
#include "apps/cli/swarm/supervisor.h"

namespace agora::cli {
namespace {

using kernels::BenchLine;
using Show = absl::FunctionRef<void(const BenchLine&)>;

constexpr double kDiscoverySecondsMax = 5;   // what is promised of 200 hosts
constexpr double kBytesPerExpertMax = 1024;  // and of an expert beyond its weights
constexpr double kVsProcessMin = 0.85;       // and of training over 4 hosts
constexpr double kHiddenMin = 0.9;           // and of 50 ms each way
constexpr int64_t kManyExperts = 1000;
constexpr const char* kPromised = "what is promised";

bool wanted(const SwarmBench& bench, std::string_view name) { return name.starts_with(bench.only); }

BenchLine line_of(std::string name, std::string shape, int threads, double value, std::string unit,
                  std::string yardstick, double yardstick_value) {
  BenchLine line{std::move(name), std::move(shape),     threads,        value,
                 std::move(unit), std::move(yardstick), yardstick_value};
  line.ratio = yardstick_value > 0 ? value / yardstick_value : 0;
  return line;
}

struct Echo {
  double p50_us = 0;
  double p99_us = 0;
};

// A bare gRPC echo of 4 KiB, as build/bin/transport_bench prints it; zeros where that was not built.
Echo bare_echo(double seconds) {
  const std::filesystem::path dir = std::filesystem::path(own_program()).parent_path();
  const auto text = run_program({(dir / "bin" / "transport_bench").string(), absl::StrCat(seconds)});
  if (!text.ok()) {
    std::fprintf(
        stderr,
        "bench: no yardstick: %s; \"cmake -DAGORA_TESTS=ON %s && ninja -C %s transport_bench\" builds "
        "it\n",
        std::string(text.status().message()).c_str(), dir.c_str(), dir.c_str());
    return {};
  }
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    Echo echo;
    const size_t bare = line.find("bare echo");
    if (line.find(" 4096 bytes") == std::string::npos || bare == std::string::npos) continue;
    if (std::sscanf(line.c_str() + bare, "bare echo p50 %lf p99 %lf", &echo.p50_us, &echo.p99_us) == 2)
      return echo;
  }
  return {};
}

Status show_row_overhead(const SwarmBench& bench, Show show) {
  Machine machine(1);
  AGORA_ASSIGN_OR_RETURN(const kernels::Compute compute, machine.compute("bf16"));
  AGORA_ASSIGN_OR_RETURN(const swarm::RowOverhead overhead, swarm::measure_row_overhead(compute, {}));
  const Echo echo = bare_echo(bench.seconds);
  const char* shape = "1 row, 1 expert, D=1024";
  const char* yardstick = "bare gRPC echo, one stream, TLS, 4 KiB";
  show(line_of("row_overhead_p50_us", shape, 1, overhead.p50_us, "us", yardstick, echo.p50_us));
  show(line_of("row_overhead_p99_us", shape, 1, overhead.p99_us, "us", yardstick, echo.p99_us));
  return absl::OkStatus();
}

Status show_discovery(Show show) {
  const auto maker = [](const peers::Identity& identity) -> StatusOr<std::unique_ptr<peers::Transport>> {
    peers::GrpcTransportConfig config;
    config.listen = {"127.0.0.1", 0};
    return peers::GrpcTransport::start(identity, config);
  };
  AGORA_ASSIGN_OR_RETURN(const peers::DiscoveryResult result, peers::bench_discovery({}, maker));
  show(line_of("discovery_200_hosts_s", "200 peers, one process", 2, result.discovery_s, "s", kPromised,
               kDiscoverySecondsMax));
  return absl::OkStatus();
}

Status show_bytes_per_expert(Show show) {
  Machine machine(1);
  AGORA_ASSIGN_OR_RETURN(const kernels::Compute compute, machine.compute("f32"));
  AGORA_ASSIGN_OR_RETURN(const double bytes, swarm::bytes_per_expert_overhead(compute, kManyExperts));
  show(line_of("bytes_per_expert_overhead", "1,000 experts on one host", 1, bytes, "bytes", kPromised,
               kBytesPerExpertMax));
  return absl::OkStatus();
}

Status show_training(const Interrupt& interrupt, Show show) {
  const int threads = base::processors_available();
  AGORA_ASSIGN_OR_RETURN(const SwarmBesideProcess result, bench_swarm_training(threads, interrupt));
  std::fprintf(stderr, "bench: tokens/s %.0f, CPU %.1f us a token; one process %.0f, %.1f us\n",
               result.swarm.rows_per_second, result.swarm.cpu_us_per_row, result.process.rows_per_second,
               result.process.cpu_us_per_row);
  show(line_of("swarm_vs_process", "4 hosts, 1 trainer; tokens/s over those of one process", threads,
               result.swarm.rows_per_second / result.process.rows_per_second, "", kPromised, kVsProcessMin));
  return absl::OkStatus();
}

Status show_delay(const Interrupt& interrupt, Show show) {
  AGORA_ASSIGN_OR_RETURN(const DelayBench result, bench_hidden_delay(interrupt));
  std::fprintf(
      stderr, "bench: tokens/s %.0f with delay, %.0f without; loss after as many tokens %.4f, %.4f\n",
      result.delayed.rows_per_second, result.direct.rows_per_second, result.delayed.loss, result.direct.loss);
  show(line_of("delay_hidden_share", "50 ms each way, 8 micro-batches in flight", result.threads,
               result.delayed.rows_per_second / result.direct.rows_per_second, "", kPromised, kHiddenMin));
  return absl::OkStatus();
}

}  // namespace

Status bench_swarm(const SwarmBench& bench, const Interrupt& interrupt, Show show) {
  if (wanted(bench, "row_overhead_p50_us") || wanted(bench, "row_overhead_p99_us")) {
    AGORA_RETURN_IF_ERROR(show_row_overhead(bench, show));
  }
  if (wanted(bench, "swarm_vs_process")) AGORA_RETURN_IF_ERROR(show_training(interrupt, show));
  if (wanted(bench, "delay_hidden_share")) AGORA_RETURN_IF_ERROR(show_delay(interrupt, show));
  if (wanted(bench, "bytes_per_expert_overhead")) AGORA_RETURN_IF_ERROR(show_bytes_per_expert(show));
  if (wanted(bench, "discovery_200_hosts_s")) AGORA_RETURN_IF_ERROR(show_discovery(show));
  return absl::OkStatus();
}

}  // namespace agora::cli
