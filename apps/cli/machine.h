// This machine as the engine sees it: its threads and the best kernels it can run.
//
//   Machine machine(/*threads=*/0);                         // 0: one per processor
//   AGORA_ASSIGN_OR_RETURN(Compute compute, machine.compute("bf16"));
#pragma once

#include <string>

#include "agora/base/result.h"
#include "agora/base/thread_pool.h"
#include "agora/kernels/compute.h"
#include "agora/kernels/table.h"
#include "agora/kernels/workspace.h"

namespace agora::cli {

class Machine {
 public:
  explicit Machine(int threads)
      : pool_(threads > 0 ? threads : base::processors_available()),
        table_(&kernels::best_table(kernels::cpu_features())) {}

  base::ThreadPool& pool() { return pool_; }
  const kernels::Table& table() const { return *table_; }

  // precision: bf16 or f32.
  StatusOr<kernels::Compute> compute(const std::string& precision);

 private:
  base::ThreadPool pool_;
  kernels::Workspace workspace_;
  const kernels::Table* table_;
};

}  // namespace agora::cli
