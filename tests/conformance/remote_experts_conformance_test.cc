#include "agora/swarm/remote_experts.h"

#include "tests/conformance/experts_suite.h"
#include "tests/swarm/grpc_peer.h"
#include "tests/swarm/hosts_in_process.h"

namespace agora::tests {
namespace {

swarm::SwarmSpec spec_of(const ExpertsShape& shape) {
  swarm::SwarmSpec spec;
  spec.name = "conformance";
  spec.layers = shape.layers;
  spec.experts = shape.experts;
  spec.experts_max = shape.experts;
  spec.shape = shape.expert;
  spec.bf16 = shape.precision == kernels::Precision::bf16;
  spec.updates = swarm::UpdateMode::synchronous;
  return spec;
}

std::shared_ptr<moe::Experts> make_remote(const ExpertsShape& shape, const MakeTransport& transport,
                                          bool exact) {
  auto hosts =
      std::make_shared<HostsInProcess>(spec_of(shape), HostsConfig{.held = contiguous(shape.experts, 4),
                                                                   .transport = transport,
                                                                   .weights = Rng(kExpertsSeed),
                                                                   .host = {}});
  swarm::RemoteExperts& gate =
      hosts->gate({.exact = exact, .rows = swarm::RowDtype::f32, .tickets_max = shape.tickets_max});
  return {hosts, &gate};
}

ExpertsUnderTest under_test(const char* name, const MakeTransport& transport, bool exact) {
  return {name, [=](const ExpertsShape& shape) { return make_remote(shape, transport, exact); }};
}

INSTANTIATE_TEST_SUITE_P(Remote, ExpertsSuite,
                         testing::Values(under_test("loopback", {}, false),
                                         under_test("loopback_exact", {}, true),
                                         under_test("grpc", start_grpc_peer, false),
                                         under_test("grpc_exact", start_grpc_peer, true)),
                         name_of);

}  // namespace
}  // namespace agora::tests
