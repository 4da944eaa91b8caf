// What every answer to the seam must do: one suite that local and remote experts pass alike.
//
//   INSTANTIATE_TEST_SUITE_P(Local, ExpertsSuite, testing::Values(ExpertsUnderTest{"f32", make_local}),
//   name_of);
//
// make() gives experts of the asked shape under their default names ("model.layers.L.mlp.experts.E"), with
// first weights from Rng(kExpertsSeed): the suite makes the same experts for itself, computes what they
// should answer in f64, and compares. Everything is expected to arrive: no faults are injected here.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agora/moe/experts.h"
#include <gtest/gtest.h>

#include "tests/conformance/experts_batches.h"

namespace agora::tests {

struct ExpertsUnderTest {
  std::string name;
  // Owns all that the experts need. May be called several times in one test; the results live side by side.
  std::function<std::shared_ptr<moe::Experts>(const ExpertsShape&)> make;
};

inline std::string name_of(const testing::TestParamInfo<ExpertsUnderTest>& info) { return info.param.name; }

class ExpertsSuite : public testing::TestWithParam<ExpertsUnderTest> {
 protected:
  std::shared_ptr<moe::Experts> make(const ExpertsShape& shape = {}) const { return GetParam().make(shape); }
};

}  // namespace agora::tests
