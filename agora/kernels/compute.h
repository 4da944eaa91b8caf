// What every computation is given: which kernels, which threads, which precision.
//
//   base::ThreadPool pool(2);   kernels::Workspace workspace;
//   Compute compute{&kernels::best_table(cpu_features()), &pool, Precision::bf16, &workspace};
//   matmul(compute, x, weight, y);
//
// Borrowed, copied freely. The answer does not depend on pool->threads(). Calls that share a workspace come
// one after the other; without one every call allocates what it needs.
#pragma once

#include <cstdint>

#include "agora/base/thread_pool.h"

namespace agora::kernels {

// bf16: products take bf16 inputs and add in f32 (the default). f32: everything in f32 (exact mode).
enum class Precision : uint8_t { bf16, f32 };

struct Table;     // kernels/table.h: the inner loops for one kind of processor
class Workspace;  // kernels/workspace.h: memory kept from call to call

struct Compute {
  const Table* table = nullptr;
  base::ThreadPool* pool = nullptr;
  Precision precision = Precision::bf16;
  Workspace* workspace = nullptr;
};

}  // namespace agora::kernels
