#include "agora/kernels/cpu_features.h"
#include "agora/kernels/table.h"
#include "agora/kernels/workspace.h"
#include "agora/moe/local_experts.h"

#include "tests/conformance/experts_suite.h"

namespace agora::tests {
namespace {

struct Process {
  explicit Process(kernels::Precision precision)
      : compute{&kernels::best_table(kernels::cpu_features()), &pool, precision, &workspace} {}
  base::ThreadPool pool{2};
  kernels::Workspace workspace;
  kernels::Compute compute;
  std::unique_ptr<moe::LocalExperts> experts;
};

std::shared_ptr<moe::Experts> make_local(const ExpertsShape& shape, int64_t parts) {
  auto process = std::make_shared<Process>(shape.precision);
  auto experts = moe::LocalExperts::create(process->compute, {.layers = shape.layers,
                                                              .experts = shape.experts,
                                                              .shape = shape.expert,
                                                              .parts = parts,
                                                              .tickets_max = shape.tickets_max});
  EXPECT_TRUE(experts.ok()) << experts.status();
  process->experts = *std::move(experts);
  process->experts->initialise(Rng(kExpertsSeed));
  return {process, process->experts.get()};
}

INSTANTIATE_TEST_SUITE_P(
    Local, ExpertsSuite,
    testing::Values(ExpertsUnderTest{"whole", [](const ExpertsShape& shape) { return make_local(shape, 1); }},
                    ExpertsUnderTest{"in_four_parts",
                                     [](const ExpertsShape& shape) { return make_local(shape, 4); }}),
    name_of);

}  // namespace
}  // namespace agora::tests
