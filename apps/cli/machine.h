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

// Of --threads, where 0 is one per processor. InvalidArgument names the flag.
StatusOr<int> thread_count(int threads);

class Machine {
 public:
  // threads: as above. Where they can not be there is one, and compute() says why.
  explicit Machine(int threads)
      : threads_(thread_count(threads)),
        pool_(threads_.ok() ? *threads_ : 1),
        table_(&kernels::best_table(kernels::cpu_features())) {}

  base::ThreadPool& pool() { return pool_; }
  const kernels::Table& table() const { return *table_; }

  // precision: bf16 or f32. InvalidArgument names --precision or --threads.
  StatusOr<kernels::Compute> compute(const std::string& precision);

 private:
  const StatusOr<int> threads_;
  base::ThreadPool pool_;
  kernels::Workspace workspace_;
  const kernels::Table* table_;
};

}  // namespace agora::cli
