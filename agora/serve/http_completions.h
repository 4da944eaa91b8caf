// Answers over HTTP: POST /v1/completions (streaming too), GET /v1/models, GET /healthz.
//
//   AGORA_ASSIGN_OR_RETURN(auto http, HttpCompletions::start({"127.0.0.1", 8080}, answers, {}));
//   curl -N localhost:8080/v1/completions -d '{"prompt": "Once", "max_tokens": 40, "stream": true}'
//
// A subset of OpenAI's completions: see completions.h. A body is read as JSON whatever its Content-Type says,
// curl's included. It asks nobody who they are: for loopback, or behind something that does. Each request
// under way has one of `threads` threads, which wait; connections beyond wait in a queue, and beyond that at
// the door. What is given outlives it; the destructor ends what is under way.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agora/base/loop.h"
#include "agora/peers/endpoint.h"
#include "agora/serve/answerer.h"

namespace agora::serve {

struct HttpAnswers {
  std::string model;
  std::function<void(Question, std::shared_ptr<Asker>)> ask;
  std::function<bool()> ready;
  const Clock* clock = nullptr;  // the answerer's
  uint64_t seed = 1;             // of requests that bring none
};

struct HttpLimits {
  size_t threads = 16;
  size_t connections_waiting_max = 64;
  int silence_s = 10;                          // of a client, then it is closed
  int64_t timeout_ns = 300 * base::kSecondNs;  // of an answer
};

class HttpCompletions {
 public:
  // Unavailable: the port is taken, or not ours to open. listen.port 0: any free one.
  static StatusOr<std::unique_ptr<HttpCompletions>> start(const peers::Endpoint& listen, HttpAnswers answers,
                                                          const HttpLimits& limits);
  ~HttpCompletions();

  const peers::Endpoint& endpoint() const;  // with the port that was found

 private:
  struct Front;
  explicit HttpCompletions(std::unique_ptr<Front> front);
  std::unique_ptr<Front> front_;
};

}  // namespace agora::serve
