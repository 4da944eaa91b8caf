// What the gates did with each token of one text, and why.
//
//   AGORA_ASSIGN_OR_RETURN(auto trace, trace_text(*m.model, *m.tokenizer, compute, "text"));
//   for (const TokenTrace& token : trace) use(token.layers[0].choices[0].expert);
//
// Plain values; any thread. trace_text(): one thread at a time, it is the model's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agora/base/ids.h"
#include "agora/model/model.h"
#include "agora/model/tokenizer.h"

namespace agora::model {

// A candidate as selection saw it: selection compares score + bias, the weight comes from the score alone.
struct ScoredExpert {
  ExpertId expert;
  float score = 0;
  float bias = 0;
};

// Who ran the expert, where that was another machine.
struct ServedAt {
  std::string host;      // its id; empty: nobody answered
  uint64_t version = 0;  // of the expert
  std::string how;       // "replica", "hedge", "next expert", "nobody"
  ExpertId expert;       // that served: another one for "next expert"
};

struct ChosenExpert {
  ExpertId expert;
  float weight = 0;
  float score = 0;
  float bias = 0;
  std::optional<ServedAt> served = {};  // none: in this process
};

struct LayerTrace {
  std::vector<ChosenExpert> choices;      // heaviest first; empty where the token got no expert
  std::optional<ScoredExpert> runner_up;  // the best that was not chosen; none where all were
  // (score + bias) of the last one chosen - (score + bias) of the runner-up: how near the choice was to
  // another.
  float margin = 0;
};

struct TokenTrace {
  std::string text;  // the token's bytes, not necessarily UTF-8; of one without bytes its name
  int64_t position = 0;
  std::vector<LayerTrace> layers;
};

// One pass over the text: over its first tokens, at most max_position_embeddings and `tokens_max`.
// InvalidArgument: no text, or one that the tokenizer can not read; the experts' errors.
StatusOr<std::vector<TokenTrace>> trace_text(Model& model, const Tokenizer& tokenizer, const Compute& compute,
                                             std::string_view text, size_t tokens_max = SIZE_MAX);

}  // namespace agora::model
