// Explains a text over experts on other machines: what the gates decided, and who ran what.
//
//   answerer.look([&](Glance& glance) { done(explain_swarm(glance, tokenizer, "words", text)); });
//
// JSON of the same shape as `agora explain --json`, with "served" at every choice: host, version of the
// expert, how it came to be asked. One pass over at most kExplainTokensMax tokens of the text. On the
// answering thread.
#pragma once

#include <string>

#include "agora/model/tokenizer.h"
#include "agora/serve/answerer.h"

namespace agora::serve {

constexpr size_t kExplainTokensMax = 512;       // others' answers wait while they are read
constexpr int64_t kExplainBytesMax = 64 << 20;  // of the JSON, for those who read it

// Unavailable: no trunk yet; InvalidArgument: no text, too long a text, or one that can not be read.
StatusOr<std::string> explain_swarm(Glance& glance, const model::Tokenizer& tokenizer,
                                    const std::string& name, const std::string& text);

}  // namespace agora::serve
