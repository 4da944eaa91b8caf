// Why a token got its experts: what each was compared by, and which candidate would have been next.
//
//   for (const TokenReasons& r : explain(gate.descriptor(), route, saved)) ...
//
// Made after the fact from what route() saved, so that routing itself pays nothing for it. Any thread.
#pragma once

#include <vector>

#include "agora/moe/gate/gate.h"

namespace agora::moe {

struct ChoiceReason {
  int32_t candidate = -1;  // -1: there is none
  float score =
      0.0f;           // what selection compared: the softmax or sigmoid score, or the logit when scored after
  float bias = 0.0f;  // selection and entry bias, added to score for the comparison alone
  float weight = 0.0f;  // of the answer; 0 for the runner-up
};

struct TokenReasons {
  std::vector<ChoiceReason> chosen;  // in the route's order
  ChoiceReason runner_up;  // the best of the others by score + bias; with groups, whichever group it is in
};

std::vector<TokenReasons> explain(const GateDescriptor& gate, const Route& route, const GateSaved& saved);

// Fills route.runner_up: each token's best open expert behind the seam of those it did not choose; -1 where
// it chose all.
void name_runners_up(const GateDescriptor& gate, const GateSaved& saved, Route& route);

}  // namespace agora::moe
