// Speed of the grouped experts against the roofline of the machine they run on.
//
//   for (const BenchLine& line : bench_experts(compute_table, {.threads = {1, 2}})) print(line);
//
// Uses up to 3 GiB for the largest shape, and about two minutes. Run nothing else meanwhile.
#pragma once

#include <vector>

#include "agora/kernels/bench/bench_line.h"
#include "agora/kernels/table.h"

namespace agora::kernels {

struct ExpertShape {
  int64_t d;
  int64_t h;
  int64_t experts;
  int64_t rows;  // of each expert
};

struct ExpertBenchOptions {
  std::vector<int> threads = {1, 2};
  std::vector<ExpertShape> shapes = {
      {512, 1024, 32, 8},  {512, 1024, 32, 32},  {512, 1024, 32, 128},  {512, 1024, 32, 512},
      {2048, 1024, 32, 8}, {2048, 1024, 32, 32}, {2048, 1024, 32, 128}, {2048, 1024, 32, 512},
  };
  double seconds_per_case = 0.5;
};

// For each number of threads and shape, forward and forward with backward: operations a second against the
// roofline. Named expert_bf16_roofline_share, or expert_few_rows_bandwidth_share where memory is the lower
// roof.
std::vector<BenchLine> bench_experts(const Table& table, const CpuFeatures& features,
                                     const ExpertBenchOptions& options = {});

}  // namespace agora::kernels
