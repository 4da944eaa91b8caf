#include "agora/swarm/host/expert_overhead.h"

#include <malloc.h>

#include "agora/swarm/host/expert_store.h"
#include "agora/swarm/host/host_state.h"
#include "agora/tensor/buffer.h"

namespace agora::swarm {
namespace {

// Tensors are in it, wherever the allocator took them from.
int64_t heap_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<int64_t>(info.uordblks + info.hblkhd);
}

}  // namespace

StatusOr<double> bytes_per_expert_overhead(const moe::Compute& compute, int64_t experts) {
  if (experts < 1 || experts > 65'536) {
    return absl::InvalidArgumentError("the overhead is measured for 1 to 65,536 experts");
  }
  SwarmSpec spec;
  spec.name = "overhead";
  spec.layers = 1;
  spec.experts = spec.experts_max = experts;
  // Large enough that every tensor is many cache lines, small enough for any machine: 31 KB an expert.
  spec.shape = {.d = 32, .h = 32};
  AGORA_ASSIGN_OR_RETURN(const std::unique_ptr<ExpertStore> store, ExpertStore::create(compute, spec));
  Holders holders(spec.layers, spec.experts_max);
  Leadership leadership(peers::PeerId{}, holders, {});
  std::map<ExpertName, OwnExpert> own;

  const int64_t heap_before = heap_bytes(), tensors_before = tensor::memory_count().bytes_total;
  for (int64_t e = 0; e < spec.experts; ++e) {
    const ExpertName name{LayerId{0}, ExpertId{e}};
    store->adopt(name);
    leadership.hold(name, 0, 0);
    const LeadershipChange change = leadership.take(name);
    store->set_role(name, change.role, change.epoch);
    own[name].ready = true;
  }
  const int64_t heap = heap_bytes() - heap_before;
  const int64_t tensors = tensor::memory_count().bytes_total - tensors_before;
  return static_cast<double>(heap - tensors) / static_cast<double>(spec.experts);
}

}  // namespace agora::swarm
