// The part of a gate's route that goes through the seam, and the way back from it.
//
//   const Route& called = called_part(gate, route, scratch);        // the route itself where all are called
//   spread_arrived(gate, route, mixed.arrived, arrived);            // what needs no call has always arrived
//   spread_dweights(gate, route, dcalled, dweights);
//
// A token's choices ascend, so its called ones are the first of them. Any thread (values).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "agora/moe/gate/descriptor.h"
#include "agora/moe/route.h"

namespace agora::moe {

const Route& called_part(const GateDescriptor& gate, const Route& route, Route& scratch);
int64_t count_called(const GateDescriptor& gate, const Route& route);

// of_called [called choices] -> arrived [choices]
void spread_arrived(const GateDescriptor& gate, const Route& route, std::span<const uint8_t> of_called,
                    std::vector<uint8_t>& arrived);
// of_called [called choices] -> dweights [choices]; the others are left as they are.
void spread_dweights(const GateDescriptor& gate, const Route& route, std::span<const float> of_called,
                     std::span<float> dweights);

}  // namespace agora::moe
