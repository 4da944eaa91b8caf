// What the gates did with each token of one text, and why.
//
//   for (const TokenTrace& token : trace) use(token.layers[0].choices[0].expert);
//
// Plain values; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agora/base/ids.h"

namespace agora::train {

// A candidate as selection saw it: selection compares score + bias, the weight comes from the score alone.
struct ScoredExpert {
  ExpertId expert;
  float score = 0;
  float bias = 0;
};

struct ChosenExpert {
  ExpertId expert;
  float weight = 0;
  float score = 0;
  float bias = 0;
};

struct LayerTrace {
  std::vector<ChosenExpert> choices;      // heaviest first; empty where the token got no expert
  std::optional<ScoredExpert> runner_up;  // the best that was not chosen; none where all were
  // (score + bias) of the last one chosen - (score + bias) of the runner-up: how near the choice was to
  // another.
  float margin = 0;
};

struct TokenTrace {
  std::string text;  // the token's bytes, not necessarily UTF-8
  int64_t position = 0;
  std::vector<LayerTrace> layers;
};

}  // namespace agora::train
