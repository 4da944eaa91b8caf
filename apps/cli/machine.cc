#include "apps/cli/machine.h"

#include "absl/strings/str_cat.h"

namespace agora::cli {

StatusOr<kernels::Compute> Machine::compute(const std::string& precision) {
  if (precision == "bf16") return kernels::Compute{table_, &pool_, kernels::Precision::bf16, &workspace_};
  if (precision == "f32") return kernels::Compute{table_, &pool_, kernels::Precision::f32, &workspace_};
  return absl::InvalidArgumentError(absl::StrCat("--precision: expected bf16 or f32, found ", precision));
}

}  // namespace agora::cli
