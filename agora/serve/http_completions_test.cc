#include "agora/serve/http_completions.h"

#include <httplib.h>

#include "agora/base/text.h"
#include "agora/serve/completions.h"
#include "agora/serve/generate.h"
#include "agora/serve/test_model.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nlohmann/json.hpp"

namespace agora::serve {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class HttpTest : public ::testing::Test, protected TestModel {
 protected:
  HttpTest() {
    const HttpAnswers answers{
        .model = "small",
        .ask = [this](Question q, std::shared_ptr<Asker> a) { answerer_.ask(std::move(q), std::move(a)); },
        .ready = [this] { return ready_.load(); },
        .clock = &clock_};
    auto front = HttpCompletions::start({"127.0.0.1", 0}, answers, {.threads = 4});
    EXPECT_TRUE(front.ok()) << front.status();
    front_ = *std::move(front);
    client_ = std::make_unique<httplib::Client>("127.0.0.1", front_->endpoint().port);
  }
  void give_trunk() {
    answerer_.use_trunk({1, std::shared_ptr<model::Model>(model().model.get(), [](model::Model*) {})});
    ready_.store(true);
  }
  std::string alone(int64_t tokens) {
    const auto generation = *Generation::start(*model().model, pass(), *model().tokenizer->encode("once"),
                                               {.temperature = 1, .seed = 3}, tokens);
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < tokens; ++i) ids.push_back(*generation->next());
    return model().tokenizer->decode(ids);
  }
  // Bytes that are no characters are not the same in JSON.
  static std::string as_json(const std::string& text) {
    return json::parse(json(text).dump(-1, ' ', false, json::error_handler_t::replace)).get<std::string>();
  }
  // Waits for so many that left.
  uint64_t abandoned(uint64_t expected) {
    base::Mutex mutex;
    base::Condition nothing;
    const base::MutexLock lock(mutex);
    const int64_t limit_ns = clock_.now_ns() + 20 * base::kSecondNs;
    while (answerer_.counters().abandoned < expected && clock_.now_ns() < limit_ns) {
      nothing.wait_until(mutex, clock_.now_ns() + 10 * base::kMillisecondNs);
    }
    return answerer_.counters().abandoned;
  }
  static std::string body(bool stream, int64_t tokens = 30) {
    return json{{"prompt", "once"}, {"max_tokens", tokens}, {"seed", 3}, {"stream", stream}}.dump();
  }

  RealClock clock_;
  std::atomic<bool> ready_{false};
  Answerer answerer_{compute(), clock_, *model().tokenizer, {.sessions_max = 4, .rows_max = 8}};
  std::unique_ptr<HttpCompletions> front_;
  std::unique_ptr<httplib::Client> client_;
};

TEST_F(HttpTest, AnswersWhole) {
  give_trunk();
  const auto result = client_->Post("/v1/completions", body(false), "application/json");
  ASSERT_TRUE(result);
  EXPECT_EQ(result->status, 200) << result->body;
  const json answer = json::parse(result->body);
  EXPECT_EQ(answer["choices"][0]["text"], as_json(alone(30)));
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(answer["usage"]["completion_tokens"], 30);
  EXPECT_EQ(answer["model"], "small");
}

TEST_F(HttpTest, StreamsEvents) {
  give_trunk();
  const auto result = client_->Post("/v1/completions", body(true), "application/json");
  ASSERT_TRUE(result);
  EXPECT_EQ(result->get_header_value("Content-Type"), "text/event-stream");
  std::string text, rest = result->body;
  std::vector<std::string> events;
  for (size_t end; (end = rest.find("\n\n")) != std::string::npos; rest.erase(0, end + 2)) {
    if (rest.starts_with("data: ")) events.push_back(rest.substr(6, end - 6));
  }
  ASSERT_GE(events.size(), 2u);
  EXPECT_EQ(events.back(), "[DONE]");
  events.pop_back();
  for (const std::string& event : events) text += json::parse(event)["choices"][0]["text"].get<std::string>();
  EXPECT_EQ(text, as_json(alone(30)));
  EXPECT_EQ(json::parse(events.back())["choices"][0]["finish_reason"], "length");
}

TEST_F(HttpTest, RefusesClearly) {
  const auto early = client_->Post("/v1/completions", body(false), "application/json");
  ASSERT_TRUE(early);
  EXPECT_EQ(early->status, 503);
  EXPECT_EQ(client_->Get("/healthz")->status, 503);
  give_trunk();
  EXPECT_EQ(client_->Get("/healthz")->status, 200);
  EXPECT_EQ(json::parse(client_->Get("/v1/models")->body)["data"][0]["id"], "small");
  for (const char* bad : {"", "{", "[]", R"({"prompt": 1})", R"({"prompt": "x", "n": 2})"}) {
    const auto result = client_->Post("/v1/completions", bad, "application/json");
    ASSERT_TRUE(result) << bad;
    EXPECT_EQ(result->status, 400) << bad;
    EXPECT_FALSE(json::parse(result->body)["error"]["message"].get<std::string>().empty()) << bad;
  }
  const auto other = client_->Post("/v1/completions", R"({"prompt": "x", "model": "y"})", "application/json");
  EXPECT_EQ(other->status, 404);
  EXPECT_EQ(client_->Get("/")->status, 404);
  EXPECT_TRUE(json::parse(client_->Get("/")->body).contains("error"));
}

TEST_F(HttpTest, ReadsWhatItIsSentAsJson) {
  give_trunk();
  const auto post = [&](size_t size, const char* type, const httplib::Headers& headers = {}) {
    const auto result =
        client_->Post("/v1/completions", headers, json{{"prompt", std::string(size, 'x')}}.dump(), type);
    return result ? result->body : "no answer";
  };
  // What curl -d calls it; the library would cut that at 8 KiB.
  constexpr char kForm[] = "application/x-www-form-urlencoded";
  EXPECT_THAT(post(9000, "application/json"), HasSubstr("prompt_tokens"));
  EXPECT_THAT(post(9000, kForm), HasSubstr("prompt_tokens"));
  EXPECT_THAT(post(kCompletionBytesMax, kForm), HasSubstr("of at most"));
  EXPECT_THAT(post(9, "multipart/form-data; boundary=x"), HasSubstr("neither compressed nor in parts"));
  EXPECT_THAT(post(9, kForm, {{"Content-Encoding", "gzip"}}), HasSubstr("neither compressed nor in parts"));
  const auto too_large = client_->Post("/v1/completions", std::string(kCompletionBytesMax + 1, 'x'), kForm);
  ASSERT_TRUE(too_large);
  EXPECT_EQ(too_large->status, 413);
}

// A client that hangs up in the middle ends its session.
TEST_F(HttpTest, AnAbandonedStreamEnds) {
  give_trunk();
  size_t pieces = 0;
  httplib::Request request;
  request.method = "POST";
  request.path = "/v1/completions";
  request.body = body(true, kAnswerTokensMax);
  request.set_header("Content-Type", "application/json");
  request.content_receiver = [&](const char*, size_t, uint64_t, uint64_t) { return ++pieces < 3; };
  EXPECT_FALSE(client_->send(request));
  client_->stop();
  EXPECT_EQ(abandoned(1), 1u);
}

// So does one that waits for the whole and thinks better of it.
TEST_F(HttpTest, AnAbandonedAnswerEnds) {
  give_trunk();
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(front_->endpoint().port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(connect(client, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  const std::string asked = body(false, kAnswerTokensMax);
  const std::string request = base::concat(
      "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: ", asked.size(), "\r\n\r\n", asked);
  ASSERT_EQ(send(client, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  close(client);
  EXPECT_EQ(abandoned(1), 1u);
}

TEST_F(HttpTest, TheEndEndsStreams) {
  give_trunk();
  std::thread ends;
  size_t pieces = 0;
  httplib::Request request;
  request.method = "POST";
  request.path = "/v1/completions";
  request.body = body(true, kAnswerTokensMax);
  request.set_header("Content-Type", "application/json");
  request.content_receiver = [&](const char*, size_t, uint64_t, uint64_t) {
    if (++pieces == 3) ends = std::thread([&] { front_.reset(); });
    return true;
  };
  client_->send(request);
  ends.join();
  EXPECT_EQ(front_, nullptr);
}

// Who still waits then hears why, and that another server may answer.
TEST(HttpEnd, TellsWhoWaitsThatTheServerStops) {
  const RealClock clock;
  std::unique_ptr<HttpCompletions> front;
  std::thread ends;
  const HttpAnswers answers{.model = "small",
                            .ask =
                                [&](const Question&, const std::shared_ptr<Asker>& asker) {
                                  ends = std::thread([&] { front.reset(); });
                                  while (!asker->gone()) std::this_thread::yield();
                                  asker->done(absl::CancelledError("nobody waits"), {});
                                },
                            .ready = [] { return true; },
                            .clock = &clock};
  front = *HttpCompletions::start({"127.0.0.1", 0}, answers, {.threads = 1});
  httplib::Client client("127.0.0.1", front->endpoint().port);
  const auto result = client.Post("/v1/completions", R"({"prompt": "once"})", "application/json");
  ends.join();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->status, 503);
  EXPECT_THAT(result->body, HasSubstr("the server stops"));
}

}  // namespace
}  // namespace agora::serve
