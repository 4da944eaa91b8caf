#include "apps/cli/machine.h"

#include "absl/strings/str_cat.h"

namespace agora::cli {

constexpr int kThreadsMax = 1024;  // as a run's (train/options.h)

StatusOr<int> thread_count(int threads) {
  if (threads < 0 || threads > kThreadsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("--threads: expected 0 (all) to ", kThreadsMax, ", found ", threads));
  }
  return threads > 0 ? threads : base::processors_available();
}

StatusOr<kernels::Compute> Machine::compute(const std::string& precision) {
  AGORA_RETURN_IF_ERROR(threads_.status());
  if (precision == "bf16") return kernels::Compute{table_, &pool_, kernels::Precision::bf16, &workspace_};
  if (precision == "f32") return kernels::Compute{table_, &pool_, kernels::Precision::f32, &workspace_};
  return absl::InvalidArgumentError(absl::StrCat("--precision: expected bf16 or f32, found ", precision));
}

}  // namespace agora::cli
