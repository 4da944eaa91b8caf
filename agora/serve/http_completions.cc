#include "agora/serve/http_completions.h"

#include <httplib.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_format.h"
#include "agora/base/text.h"
#include "agora/serve/completions.h"
#include "agora/serve/http_door.h"

namespace agora::serve {
namespace {

// How long a stream is silent without saying so, and how long nobody looks whether its client is there.
constexpr int64_t kSignOfLifeNs = 2 * base::kSecondNs;
constexpr int kKeptS = 2;
constexpr char kJson[] = "application/json";
constexpr int kTooLarge = 413, kUnsupportedType = 415;

// A client that asked: text piles up here, at most an answer's, until its thread has written it.
class HttpAsker final : public Asker {
 public:
  explicit HttpAsker(const std::atomic<bool>& stopping) : stopping_(stopping) {}

  void part(AskPart part) override {
    const base::MutexLock lock(mutex_);
    text_ += part.text;
    changed_.wake_all();
  }
  // At the end of the server it is not the client who has gone.
  void done(const Status& status, const AskSummary& summary) override {
    const base::MutexLock lock(mutex_);
    end_ = End{absl::IsCancelled(status) && stopping_.load() ? server_stops() : status, summary};
    changed_.wake_all();
  }
  bool gone() const override { return left_.load() || stopping_.load(); }
  void leave() { left_.store(true); }

  struct End {
    Status status;
    AskSummary summary;
  };
  // Waits for text or the end, at most until_ns. The end comes with the last text.
  std::string wait(int64_t until_ns, std::optional<End>* end) {
    const base::MutexLock lock(mutex_);
    if (text_.empty() && !end_) changed_.wait_until(mutex_, until_ns);
    *end = end_;
    return std::exchange(text_, {});
  }

 private:
  const std::atomic<bool>& stopping_;
  std::atomic<bool> left_{false};
  base::Mutex mutex_;
  base::Condition changed_;
  std::string text_ ABSL_GUARDED_BY(mutex_);
  std::optional<End> end_ ABSL_GUARDED_BY(mutex_);
};

int64_t seconds_since_1970() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

// code 0: the one that goes with the status.
void refuse(const Status& status, httplib::Response& response, int code = 0) {
  const HttpError error = http_error(status);
  response.status = code > 0 ? code : error.code;
  if (error.code == 429) response.set_header("Retry-After", "1");
  response.set_content(error.body, kJson);
}

// JSON whatever the client calls it: curl -d calls all that it sends a form. False: refused.
bool read_body(const httplib::Request& request, const httplib::ContentReader& reader, std::string* body,
               httplib::Response& response) {
  if (request.has_header("Content-Encoding") || request.is_multipart_form_data()) {
    refuse(absl::InvalidArgumentError("expected JSON as it is, neither compressed nor in parts"), response,
           kUnsupportedType);
    return false;
  }
  bool fits = true;
  const bool whole = reader([&](const char* bytes, size_t count) {
    fits = count <= kCompletionBytesMax - body->size();
    if (fits) body->append(bytes, count);
    return fits;
  });
  if (whole) return true;
  fits = fits && response.status != kTooLarge;  // what the library saw by the length that was announced
  refuse(absl::InvalidArgumentError(
             base::concat("expected a whole request, of at most ", kCompletionBytesMax, " bytes")),
         response, fits ? 0 : kTooLarge);
  return false;
}

bool write_event(httplib::DataSink& sink, const std::string& data) {
  const std::string event = base::concat("data: ", data, "\n\n");
  return sink.write(event.data(), event.size());
}

}  // namespace

struct HttpCompletions::Front {
  HttpAnswers answers;
  HttpLimits limits;
  std::unique_ptr<httplib::Server> server;
  peers::Endpoint endpoint;
  std::atomic<bool> stopping{false};
  std::atomic<uint64_t> requests{0};
  int64_t created_s = seconds_since_1970();
  std::thread thread;

  void set_ways();
  void complete(const httplib::Request& request, std::string_view body, httplib::Response& response);
  void stream(std::shared_ptr<HttpAsker> asker, const CompletionHead& head, httplib::Response& response);
  bool write_some(HttpAsker& asker, const CompletionHead& head, httplib::DataSink& sink);
};

void HttpCompletions::Front::set_ways() {
  server->Get("/v1/models", [this](const httplib::Request&, httplib::Response& response) {
    response.set_content(models_json(answers.model, created_s), kJson);
  });
  server->Get("/healthz", [this](const httplib::Request&, httplib::Response& response) {
    if (!answers.ready()) return refuse(no_trunk_yet(), response);
    response.set_content(R"({"status":"ok"})", kJson);
  });
  server->Post("/v1/completions", [this](const httplib::Request& request, httplib::Response& response,
                                         const httplib::ContentReader& reader) {
    std::string body;
    if (read_body(request, reader, &body, response)) complete(request, body, response);
  });
  server->set_error_handler([](const httplib::Request& request, httplib::Response& response) {
    if (!response.body.empty()) return;
    const int code = response.status;
    const char* const what = code == 404 ? "there is only /v1/completions, /v1/models and /healthz"
                                         : "this is not a request that can be answered";
    refuse(absl::InvalidArgumentError(
               base::concat(request.method, " ", base::in_quotes(request.path), ": ", what)),
           response, code);
  });
}

void HttpCompletions::Front::complete(const httplib::Request& request, std::string_view body,
                                      httplib::Response& response) {
  auto completion = parse_completion(body, answers.model);
  if (!completion.ok()) return refuse(completion.status(), response);
  const uint64_t number = requests.fetch_add(1) + 1;
  const uint64_t id = mix_bits(answers.seed + number);
  if (!completion->seed_given) completion->request.sampler.seed = id;
  const CompletionHead head{absl::StrFormat("cmpl-%016x", id), seconds_since_1970(), answers.model};
  auto asker = std::make_shared<HttpAsker>(stopping);
  answers.ask({.request = std::move(completion->request),
               .priority = Priority::interactive,
               .deadline_ns = answers.clock->now_ns() + limits.timeout_ns,
               .trace = id},
              asker);
  if (completion->stream) return stream(std::move(asker), head, response);
  std::string text;
  std::optional<HttpAsker::End> end;
  while (!end) {
    text += asker->wait(RealClock().now_ns() + kSignOfLifeNs, &end);
    if (!end && !still_waits(request)) return asker->leave();
  }
  if (!end->status.ok()) return refuse(end->status, response);
  response.set_content(completion_json(head, text, end->summary), kJson);
}

void HttpCompletions::Front::stream(std::shared_ptr<HttpAsker> asker, const CompletionHead& head,
                                    httplib::Response& response) {
  response.set_header("Cache-Control", "no-cache");
  response.set_chunked_content_provider(
      "text/event-stream",
      [this, asker, head](size_t, httplib::DataSink& sink) { return write_some(*asker, head, sink); },
      [asker](bool) { asker->leave(); });
}

// False: the client has gone.
bool HttpCompletions::Front::write_some(HttpAsker& asker, const CompletionHead& head,
                                        httplib::DataSink& sink) {
  std::optional<HttpAsker::End> end;
  const std::string text = asker.wait(RealClock().now_ns() + kSignOfLifeNs, &end);
  if (!text.empty() && !write_event(sink, completion_chunk(head, text))) return false;
  if (!end) {
    // A comment, which clients pass over: only writing shows whether one is still there.
    constexpr std::string_view kAlive = ":\n\n";
    return !text.empty() || sink.write(kAlive.data(), kAlive.size());
  }
  const std::string last =
      end->status.ok() ? completion_end(head, end->summary) : http_error(end->status).body;
  if (!write_event(sink, last) || !write_event(sink, "[DONE]")) return false;
  sink.done();
  return true;
}

StatusOr<std::unique_ptr<HttpCompletions>> HttpCompletions::start(const peers::Endpoint& listen,
                                                                  HttpAnswers answers,
                                                                  const HttpLimits& limits) {
  auto front = std::make_unique<Front>();
  front->answers = std::move(answers);
  front->limits = limits;
  front->server = make_door({.threads = limits.threads,
                             .waiting_max = limits.connections_waiting_max,
                             .silence_s = limits.silence_s,
                             .kept_s = kKeptS,
                             .body_bytes_max = kCompletionBytesMax});
  front->set_ways();
  AGORA_ASSIGN_OR_RETURN(front->endpoint, open_door(*front->server, listen));
  front->thread = serve_at_door(*front->server);
  return std::unique_ptr<HttpCompletions>(new HttpCompletions(std::move(front)));
}

HttpCompletions::HttpCompletions(std::unique_ptr<Front> front) : front_(std::move(front)) {}

HttpCompletions::~HttpCompletions() {
  front_->stopping.store(true);
  front_->server->stop();
  front_->thread.join();
}

const peers::Endpoint& HttpCompletions::endpoint() const { return front_->endpoint; }

}  // namespace agora::serve
