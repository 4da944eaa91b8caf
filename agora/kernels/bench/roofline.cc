#include "agora/kernels/bench/roofline.h"

#include <algorithm>
#include <vector>

#include "agora/base/thread_pool.h"
#include "agora/kernels/bench/peak_loop.h"
#include "agora/kernels/bench/timing.h"
#include "agora/tensor/buffer.h"

namespace agora::kernels {
namespace {

using tensor::Buffer;
using tensor::Purpose;

double measure_rate(const Peak& peak, base::ThreadPool& pool) {
  constexpr int kRepeats = 64;  // about 10 ms
  struct Own {
    Buffer<char> set{1, kPeakSetBytes, Purpose::scratch};
    Buffer<float> sink{1, 1024, Purpose::scratch};
    double operations = 0.0;
  };
  std::vector<Own> own(static_cast<size_t>(pool.threads()));
  const double seconds = best_seconds(
      [&] {
        pool.run(pool.threads(), [&](int64_t i) {
          double operations = 0.0;
          for (int r = 0; r < kRepeats; ++r) operations += peak.loop(own[i].set.data(), own[i].sink.data());
          own[i].operations = operations;
        });
      },
      0.5, 5);
  double operations = 0.0;
  for (const Own& each : own) operations += each.operations;
  return operations / seconds;
}

// Sums one stretch of memory, asking for each line `ahead` words before it is needed.
uint64_t sum_of(const uint64_t* words, int64_t count, int64_t ahead) {
  uint64_t a = 0;  // four sums in registers: one would be the limit, not memory
  uint64_t b = 0;
  uint64_t c = 0;
  uint64_t d = 0;
  for (int64_t i = 0; i < count; i += 8) {
    __builtin_prefetch(words + i + ahead, 0, 3);
    a += words[i] + words[i + 4];
    b += words[i + 1] + words[i + 5];
    c += words[i + 2] + words[i + 6];
    d += words[i + 3] + words[i + 7];
  }
  return a + b + c + d;
}

// The best over several distances of prefetch: which one is best depends on the machine.
double measure_bandwidth(base::ThreadPool& pool) {
  constexpr int64_t kBytes = int64_t{256} << 20;  // several times any cache that is worth having
  constexpr int64_t kPieceWords = (int64_t{1} << 20) / 8;
  constexpr int64_t kPieces = kBytes / 8 / kPieceWords;
  const Buffer<uint64_t> memory(1, kBytes / 8, Purpose::scratch);
  std::vector<uint64_t> sums(kPieces);
  double best = 1e30;
  for (const int64_t ahead_bytes : {1 << 10, 2 << 10, 8 << 10, 32 << 10}) {
    const auto read_piece = [&](int64_t i) {
      sums[i] = sum_of(memory.data() + i * kPieceWords, kPieceWords, ahead_bytes / 8);
    };
    best = std::min(best, best_seconds([&] { pool.run(kPieces, read_piece); }, 0.3, 5));
  }
  return static_cast<double>(kBytes) / best;
}

}  // namespace

Roofline measure_roofline(const CpuFeatures& features, int threads) {
  base::ThreadPool pool(threads);
  const Peak peak = peak_loop(features);
  return {peak.instruction, measure_rate(peak, pool), measure_bandwidth(pool)};
}

}  // namespace agora::kernels
