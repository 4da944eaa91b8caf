#include "apps/cli/bench_engine.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agora/base/clock.h"
#include "agora/kernels/bench/bench_experts.h"
#include "agora/train/step_bench.h"

#include "apps/cli/child_process.h"
#include "apps/cli/machine.h"
#include "apps/cli/outside_program.h"
#include "apps/cli/training_summary.h"

namespace agora::cli {
namespace {

using kernels::BenchLine;
using Show = absl::FunctionRef<void(const BenchLine&)>;

constexpr int kStartUps = 21;
constexpr double kStartUpMsMax = 20;     // what is promised of `agora --help`
constexpr double kMemoryRatioMax = 1.3;  // and of training

bool wanted(const EngineBench& bench, std::string_view name) { return name.starts_with(bench.only); }

// Programs that are not built are said once and leave their lines without a ratio.
std::vector<nlohmann::json> outside(const EngineBench& bench, const std::string& program,
                                    std::vector<std::string> arguments) {
  const std::string dir =
      bench.outside.empty()
          ? (std::filesystem::path(own_program()).parent_path().parent_path() / "build-outside").string()
          : bench.outside;
  arguments.insert(arguments.begin(), dir + "/" + program);
  const auto lines = run_json(arguments);
  if (lines.ok()) return *lines;
  std::fprintf(stderr, "bench: no yardstick: %s; tools/outside installs and builds it\n",
               std::string(lines.status().message()).c_str());
  return {};
}

BenchLine finished(BenchLine line) {
  line.ratio = line.yardstick_value > 0 ? line.value / line.yardstick_value : 0;
  return line;
}

void show_experts(const EngineBench& bench, const Machine& machine, Show show) {
  kernels::ExpertBenchOptions options;
  options.seconds_per_case = bench.seconds / 4;
  const std::vector<BenchLine> lines =
      kernels::bench_experts(machine.table(), kernels::cpu_features(), options);
  for (const BenchLine& line : lines) {
    if (wanted(bench, line.name)) show(line);
  }
  constexpr const char* kName = "expert_bf16_vs_onednn";
  if (!wanted(bench, kName)) return;
  std::vector<nlohmann::json> theirs;
  for (const int threads : options.threads) {
    const auto some = outside(bench, "onednn_experts", {"--threads", absl::StrCat(threads)});
    theirs.insert(theirs.end(), some.begin(), some.end());
  }
  for (BenchLine line : lines) {
    line.name = kName;
    line.yardstick = "oneDNN";
    line.yardstick_value = 0;
    for (const nlohmann::json& their : theirs) {
      if (their.value("shape", "") != line.shape || their.value("threads", 0) != line.threads) continue;
      line.yardstick_value = their.value("value", 0.0);
    }
    show(finished(line));
  }
}

// libtorch at its best with at most so many threads, f32 or bf16.
double best_of(const std::vector<nlohmann::json>& lines, int threads_max, std::string& what) {
  double best = 0;
  for (const nlohmann::json& line : lines) {
    const double rate = line.value("tokens_per_s", 0.0);
    if (line.value("threads", 0) > threads_max || rate <= best) continue;
    best = rate;
    what = absl::StrCat("libtorch ", line.value("dtype", ""), ", ", line.value("threads", 0), " threads");
  }
  return best;
}

Status show_train_step(const EngineBench& bench, Show show) {
  const train::TrainOptions options = train::step_bench_options();
  const auto theirs = outside(bench, "libtorch_step",
                              {"--threads", "1,2", "--hidden", absl::StrCat(options.hidden), "--vocab",
                               absl::StrCat(options.vocabulary), "--batch", absl::StrCat(options.batch)});
  for (const int threads : {1, 2}) {
    Machine machine(threads);
    AGORA_ASSIGN_OR_RETURN(const kernels::Compute compute, machine.compute("bf16"));
    AGORA_ASSIGN_OR_RETURN(const train::StepRate rate,
                           train::measure_steps(options, compute, RealClock(), 3 * bench.seconds));
    BenchLine line;
    line.name = "train_step_vs_libtorch";
    line.shape =
        absl::StrFormat("L%d D%d E%d K%d H%d S%d B%d", options.layers, options.width, options.experts,
                        options.chosen, options.hidden, options.sequence, options.batch);
    line.threads = threads;
    line.value = rate.rows_per_second;
    line.unit = "tokens/s";
    line.yardstick = "libtorch";
    line.yardstick_value = best_of(theirs, threads, line.yardstick);
    show(finished(line));
  }
  return absl::OkStatus();
}

Status show_start_up(Show show) {
  const RealClock clock;
  std::vector<double> times;
  for (int i = 0; i < kStartUps; ++i) {
    const int64_t begin = clock.now_ns();
    AGORA_RETURN_IF_ERROR(run_program({own_program(), "--help"}).status());
    times.push_back(static_cast<double>(clock.now_ns() - begin) * 1e-6);
  }
  std::ranges::sort(times);
  BenchLine line;
  line.name = "start_up_ms";
  line.shape = "agora --help";
  line.value = times[kStartUps / 2];
  line.unit = "ms";
  line.yardstick = "at most";
  line.yardstick_value = kStartUpMsMax;
  show(finished(line));
  return absl::OkStatus();
}

// In a process of its own: the peak that the operating system remembers is the process's.
Status show_memory(const EngineBench& bench, Show show) {
  BenchLine line;
  line.name = "train_memory_ratio";
  line.shape = "as train_step_vs_libtorch";
  line.threads = 2;
  line.unit = "of weights + optimizer + activations + gradients";
  line.yardstick = "at most";
  line.yardstick_value = kMemoryRatioMax;
  if (bench.only == line.name) {
    Machine machine(line.threads);
    AGORA_ASSIGN_OR_RETURN(const kernels::Compute compute, machine.compute("bf16"));
    AGORA_RETURN_IF_ERROR(
        train::measure_steps(train::step_bench_options(), compute, RealClock(), bench.seconds).status());
    line.value = memory_json().at("train_memory_ratio");
    show(finished(line));
    return absl::OkStatus();
  }
  AGORA_ASSIGN_OR_RETURN(const auto lines,
                         run_json({own_program(), "bench", "engine", "--json", "--only", line.name}));
  if (lines.empty()) return absl::InternalError("bench: expected a line of train_memory_ratio, found none");
  line.value = lines[0].value("value", 0.0);
  show(finished(line));
  return absl::OkStatus();
}

}  // namespace

Status bench_engine(const EngineBench& bench, Show show) {
  if (wanted(bench, "start_up_ms")) AGORA_RETURN_IF_ERROR(show_start_up(show));
  if (wanted(bench, "train_memory_ratio")) AGORA_RETURN_IF_ERROR(show_memory(bench, show));
  if (wanted(bench, "train_step_vs_libtorch")) AGORA_RETURN_IF_ERROR(show_train_step(bench, show));
  constexpr const char* kExperts[] = {"expert_bf16_roofline_share", "expert_few_rows_bandwidth_share",
                                      "expert_bf16_vs_onednn"};
  if (std::ranges::any_of(kExperts, [&](const char* name) { return wanted(bench, name); })) {
    show_experts(bench, Machine(1), show);
  }
  return absl::OkStatus();
}

}  // namespace agora::cli
