// OpenAI's completions as JSON: requests read with clear refusals, answers written.
//
//   AGORA_ASSIGN_OR_RETURN(Completion c, parse_completion(body, "words"));
//   completion_json(head, text, summary);              completion_chunk(head, piece);      // streaming
//   HttpError e = http_error(status);                  // 400 ... 504 with {"error": {...}}
//
// Of the request: model, prompt (one text), max_tokens, temperature, top_p, stop, seed, stream; and our own
// top_k and repetition_penalty. What is known and not done (n, best_of, logprobs, echo, suffix, penalties) is
// refused rather than ignored. Answers have our summary under "agora". No sockets. Any thread (values).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agora/base/result.h"
#include "agora/serve/ask_wire.h"

namespace agora::serve {

// Escaped, a byte of a prompt may take six.
constexpr size_t kCompletionBytesMax = 6 * kPromptBytesMax + (64 << 10);

struct Completion {
  AskRequest request;
  bool seed_given = false;  // false: the caller takes what it likes
  bool stream = false;
};

// InvalidArgument names the key, what was expected and what came; NotFound: another model.
StatusOr<Completion> parse_completion(std::string_view body, const std::string& model);

struct CompletionHead {
  std::string id;         // "cmpl-..."
  int64_t created_s = 0;  // since 1970
  std::string model;
};

std::string completion_json(const CompletionHead& head, std::string_view text, const AskSummary& summary);
// One event's data: a piece of text, or the end.
std::string completion_chunk(const CompletionHead& head, std::string_view piece);
std::string completion_end(const CompletionHead& head, const AskSummary& summary);
std::string models_json(const std::string& model, int64_t created_s);

struct HttpError {
  int code = 500;
  std::string body;
};
HttpError http_error(const Status& status);

}  // namespace agora::serve
