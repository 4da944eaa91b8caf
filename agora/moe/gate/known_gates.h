// The routers of the open checkpoints as data: one row a family, with the numbers of one published size.
//
//   const KnownGate* gate = find_known_gate("qwen3_moe");     // by Hugging Face's model_type, or nullptr
//   GateDescriptor mine = gate->descriptor;
//   mine.experts = 16;
//
// The order of softmax, selection, normalisation and scaling is the family's; counts come from the named
// release's config.json and are replaced by a model's own. known_gates_test.cc holds each against values
// worked out by hand. Immutable; any thread.
#pragma once

#include <span>
#include <string_view>

#include "agora/moe/gate/descriptor.h"

namespace agora::moe {

struct KnownGate {
  std::string_view model_type;  // Hugging Face's key
  std::string_view release;     // whose config.json the counts are from
  GateDescriptor descriptor;
};

std::span<const KnownGate> known_gates();

const KnownGate* find_known_gate(std::string_view model_type);

}  // namespace agora::moe
