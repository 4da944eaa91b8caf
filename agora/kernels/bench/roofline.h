// What this machine can do at best: the limits that kernels are measured against.
//
//   Roofline limit = measure_roofline(features, threads);
//   limit.attainable(operations, bytes)       // operations a second: the lower of the two roofs
//
// Takes about a second for each number of threads. Measures the whole machine: run nothing else meanwhile.
#pragma once

#include "agora/kernels/cpu_features.h"

namespace agora::kernels {

struct Roofline {
  const char* instruction = "";  // the best one for bf16 products here
  double bf16_rate =
      0.0;  // operations a second, its operands coming from a 1 MiB set in the second-level cache
  double memory_bandwidth = 0.0;  // bytes a second, reading a large set on huge pages with software prefetch

  // For work that does `operations` and must move `bytes` through memory.
  double attainable(double operations, double bytes) const {
    const double by_memory = memory_bandwidth * operations / bytes;
    return by_memory < bf16_rate ? by_memory : bf16_rate;
  }
};

Roofline measure_roofline(const CpuFeatures& features, int threads);

}  // namespace agora::kernels
