#include "agora/moe/gate/descriptor.h"

#include <cmath>

#include "absl/strings/str_format.h"

namespace agora::moe {
namespace {

Status refuse(std::string_view field, std::string_view expected, double came) {
  return absl::InvalidArgumentError(absl::StrFormat("gate: %s must be %s, it is %g", field, expected, came));
}

Status validate_counts(const GateDescriptor& gate) {
  if (gate.experts < 1 || gate.experts > kGateCandidatesMax) {
    return refuse("experts", absl::StrFormat("1 to %d", kGateCandidatesMax),
                  static_cast<double>(gate.experts));
  }
  for (const auto& [name, count] :
       {std::pair{"zero_experts", gate.zero_experts}, std::pair{"copy_experts", gate.copy_experts},
        std::pair{"constant_experts", gate.constant_experts}}) {
    if (count < 0 || count > kGateCandidatesMax) {
      return refuse(name, absl::StrFormat("0 to %d", kGateCandidatesMax), static_cast<double>(count));
    }
  }
  if (gate.candidates() > kGateCandidatesMax) {
    return refuse("candidates",
                  absl::StrFormat("at most %d, those without a call included", kGateCandidatesMax),
                  static_cast<double>(gate.candidates()));
  }
  if (gate.chosen < 1 || gate.chosen > gate.candidates()) {
    return refuse("chosen", absl::StrFormat("1 to %d, the number of candidates", gate.candidates()),
                  static_cast<double>(gate.chosen));
  }
  return absl::OkStatus();
}

Status validate_groups(const GateDescriptor& gate) {
  if (gate.groups < 1 || gate.experts % gate.groups != 0) {
    return refuse("groups", absl::StrFormat("a divisor of the %d experts", gate.experts),
                  static_cast<double>(gate.groups));
  }
  const int64_t group_size = gate.experts / gate.groups;
  if (gate.groups_chosen < 1 || gate.groups_chosen > gate.groups) {
    return refuse("groups_chosen", absl::StrFormat("1 to %d, the number of groups", gate.groups),
                  static_cast<double>(gate.groups_chosen));
  }
  if (gate.group_score_top < 1 || gate.group_score_top > group_size) {
    return refuse("group_score_top", absl::StrFormat("1 to %d, the experts of a group", group_size),
                  static_cast<double>(gate.group_score_top));
  }
  if (gate.chosen > gate.groups_chosen * group_size) {
    return refuse(
        "chosen",
        absl::StrFormat("at most %d, the experts of the chosen groups", gate.groups_chosen * group_size),
        static_cast<double>(gate.chosen));
  }
  return absl::OkStatus();
}

Status validate_selection(const GateDescriptor& gate) {
  const int64_t without_call = gate.candidates() - gate.experts;
  switch (gate.selection) {
    case Selection::top_k:
      return absl::OkStatus();
    case Selection::grouped_top_k:
      if (without_call > 0) {
        return refuse("zero, copy and constant experts", "0 with grouped_top_k: they belong to no group",
                      static_cast<double>(without_call));
      }
      return validate_groups(gate);
    case Selection::expert_choice:
      if (without_call > 0) {
        return refuse("zero, copy and constant experts", "0 with expert_choice: they choose no tokens",
                      static_cast<double>(without_call));
      }
      return absl::OkStatus();
    case Selection::all:
      if (gate.chosen != gate.candidates()) {
        return refuse("chosen", absl::StrFormat("%d with selection all: every candidate", gate.candidates()),
                      static_cast<double>(gate.chosen));
      }
      return absl::OkStatus();
  }
  return refuse("selection", "one of top_k, grouped_top_k, expert_choice, all",
                static_cast<double>(static_cast<uint8_t>(gate.selection)));
}

}  // namespace

Status validate(const GateDescriptor& gate) {
  AGORA_RETURN_IF_ERROR(validate_counts(gate));
  AGORA_RETURN_IF_ERROR(validate_selection(gate));
  if (gate.entry_bias && gate.selection != Selection::top_k) {
    return refuse("entry_bias", "off but with selection top_k: groups and batches have no room for it", 1);
  }
  if (!std::isfinite(gate.scale) || gate.scale == 0.0f)
    return refuse("scale", "finite and not 0", gate.scale);
  if (!std::isfinite(gate.noise) || gate.noise < 0.0f)
    return refuse("noise", "finite and at least 0", gate.noise);
  if (!std::isfinite(gate.renormalise_epsilon) || gate.renormalise_epsilon < 0.0f) {
    return refuse("renormalise_epsilon", "finite and at least 0", gate.renormalise_epsilon);
  }
  return absl::OkStatus();
}

}  // namespace agora::moe
