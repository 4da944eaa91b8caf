// What the tests of hosts share: a small swarm, a machine to compute on, rows and routes.
//
// Tests only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agora/moe/test_support.h"
#include "agora/swarm/host/expert_store.h"
#include "agora/swarm/wire/backward_message.h"

namespace agora::swarm {

constexpr int64_t kTestWidth = 12;

inline SwarmSpec test_spec(UpdateMode updates = UpdateMode::asynchronous) {
  SwarmSpec spec;
  spec.name = "test";
  spec.layers = 2;
  spec.experts = 8;
  spec.experts_max = 10;
  spec.shape = {.d = kTestWidth, .h = 20, .deviation = 0.3f, .deviation_down = 0.3f};
  spec.bf16 = false;
  spec.updates = updates;
  spec.rows_per_step = 64;
  spec.age_max = 4;
  return spec;
}

inline peers::PeerId test_peer(int number) {
  peers::PeerId id;
  id.bytes[0] = std::byte{static_cast<uint8_t>(number)};
  return id;
}

inline ExpertName expert_name(int64_t layer, int64_t expert) { return {LayerId{layer}, ExpertId{expert}}; }

inline UpdateKey update_key(uint64_t step, uint32_t micro_batch = 0, int64_t layer = 0, int trainer = 1) {
  return {.trainer = test_peer(trainer),
          .run = 1,
          .step = step,
          .micro_batch = micro_batch,
          .layer = LayerId{layer}};
}

inline std::unique_ptr<ExpertStore> make_store(const moe::TestCompute& machine, const SwarmSpec& spec,
                                               const LedgerLimits& limits = {}) {
  auto store = ExpertStore::create(machine.compute, spec, limits);
  AGORA_CHECK(store.ok());
  return *std::move(store);
}

// Weights and moments.
inline std::vector<float> numbers_of(ExpertStore& store, ExpertName name) {
  std::vector<float> numbers;
  for (const moe::ParameterView& p : store.experts().expert(name.layer, name.expert).parameters()) {
    for (const auto& part : {p.value, p.first, p.second}) {
      numbers.insert(numbers.end(), part.flat().begin(), part.flat().end());
    }
  }
  return numbers;
}

// Rows for one call of one layer, and its answer.
struct TestCall {
  explicit TestCall(uint64_t seed, int64_t tokens = 40, int64_t experts = 8, int64_t chosen = 3) {
    Rng rng(seed);
    x = moe::random_rows(rng, tokens, kTestWidth);
    dy = moe::random_rows(rng, tokens, kTestWidth);
    y = moe::random_rows(rng, tokens, kTestWidth);
    dx = moe::random_rows(rng, tokens, kTestWidth);
    route = moe::random_route(rng, tokens, experts, chosen);
    dweights.resize(route.expert.size());
  }

  HeldMix forward(HeldExperts& held, int64_t layer = 0) {
    auto mixed = held.mix(LayerId{layer}, x.view(), route, moe::Keep::for_backward, y.view());
    AGORA_CHECK(mixed.ok());
    return *std::move(mixed);
  }
  StatusOr<UpdateOutcome> backward(HeldExperts& held, const UpdateKey& key, moe::Ticket ticket) {
    StatusOr<UpdateOutcome> outcome = absl::InternalError("on_rows was not called");
    const Status done = held.mix_backward(key, ticket, dy.view(), dx.view(), dweights, [&](UpdateOutcome is) {
      outcome = is;
      return encode_backward_reply(is.kind, dweights, RowDtype::f32, dx.view());
    });
    return done.ok() ? outcome : done;
  }
  // Both, or what was answered before.
  StatusOr<UpdateOutcome> train(HeldExperts& held, const UpdateKey& key) {
    const std::optional<peers::Payload> before = held.answered(key);
    if (!before) return backward(held, key, forward(held, key.layer.value).ticket);
    const StatusOr<BackwardReply> reply = read_backward_reply(before->bytes());
    AGORA_CHECK(reply.ok() && reply->dx.unpack(dx.view()).ok());
    dweights = reply->dweights;
    return UpdateOutcome{UpdateOutcome::Kind::repeated};
  }

  tensor::Buffer<float> x, dy, y, dx;
  moe::Route route;
  std::vector<float> dweights;
};

}  // namespace agora::swarm
