// A swarm of real processes: it starts, answers, and goes on when one of them is killed or frozen.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "tests/e2e/small_run.h"
#include "tests/e2e/swarm_harness.h"

namespace agora::e2e {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kSomeSteps = 300;  // of a small model, which takes milliseconds for each
constexpr size_t kExperts = 2 * 4;   // of small_train: layers times experts

// Every expert has a leader that lives.
bool covered(const SwarmUnderTest& swarm) {
  const json experts = swarm.ask_json({"experts"});
  if (!experts.is_array() || experts.size() != kExperts) return false;
  return std::ranges::all_of(experts, [](const json& expert) { return !expert.at("leader").is_null(); });
}

json again_but_for_the_time(const json& first, json again) {
  for (const char* key : {"tokens_per_second", "request"}) again[key] = first.at(key);
  return again;
}

TEST(Swarm, StartsTrainsAnswersAndEndsInGoodOrder) {
  SwarmUnderTest swarm({.hosts = 4,
                        .trainers = 2,
                        .servers = 1,
                        .steps = 40,
                        .more = {"--replicas", "2", "--average-every", "30"}});
  measured("from start to the first steps", swarm.wait_until("training", [&] {
    return swarm.step_of("trainer 1") > 0 && swarm.step_of("trainer 2") > 0;
  }));
  swarm.wait_until("the end of training", [&] { return swarm.last("summary").has_value(); });

  const json peers = swarm.ask_json({"peers"});
  ASSERT_TRUE(peers.is_array());
  EXPECT_EQ(peers.size(), 8u) << "with agora up itself";
  EXPECT_TRUE(covered(swarm));

  swarm.wait_until("the server has a trunk", [&] {
    return swarm.ask("apple", {"--tokens", "1"}).exit_code == 0;
  });
  // The last gradients are stepped with a moment after the last step; then one question has one answer.
  json first;
  swarm.wait_until("the same answer twice", [&] {
    first = swarm.ask_json({"ask", "--swarm", "apple of", "--tokens", "20", "--seed", "4"});
    return first == again_but_for_the_time(first, swarm.ask_json({"ask", "--swarm", "apple of", "--tokens",
                                                                  "20", "--seed", "4"}));
  });
  EXPECT_EQ(first.at("tokens"), 20);
  const json trace = swarm.ask_json({"trace", first.at("request").get<std::string>()});
  EXPECT_GE(trace.size(), 2u) << "a server and a host at least";

  const Outcome end = swarm.end();
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_THAT(end.out, HasSubstr("\"event\":\"done\""));
  const json saved = json::parse(read_file(std::filesystem::path(swarm.dir()) / "saved" / "manifest.json"));
  EXPECT_EQ(saved.at("step").get<int64_t>(), 40) << "the last steps are in it, not only those of rounds";
  const Outcome offline = run_agora({"ask", swarm.dir() + "/saved", "apple of", "--tokens", "5"});
  EXPECT_EQ(offline.exit_code, 0) << offline.err;
}

TEST(Swarm, GoesOnWhenAHostIsKilled) {
  SwarmUnderTest swarm({.hosts = 3});
  swarm.wait_until_training();
  swarm.wait_until("every expert leads", [&] { return covered(swarm); });
  const std::string host = swarm.process_of(swarm.ask_json({"experts"})[0].at("leader").get<std::string>());
  swarm.signal(host, SIGKILL);
  measured("kill -9 of a host, until the trainer has made 300 more steps",
           swarm.wait_for_steps("trainer 1", kSomeSteps));
  measured("kill -9 of a host, until every expert has a leader",
           swarm.wait_until("every expert leads again", [&] { return covered(swarm); }));
  swarm.wait_until("its end is noticed", [&] { return !std::ranges::count(swarm.running(), host); });
  const Outcome answer = swarm.ask("apple", {"--tokens", "5"});
  EXPECT_EQ(answer.exit_code, 0) << answer.err;
}

TEST(Swarm, GoesOnWhenAHostStands) {
  SwarmUnderTest swarm({.hosts = 3});
  swarm.wait_until_training();
  const std::string host = swarm.process_of(swarm.ask_json({"experts"})[0].at("leader").get<std::string>());
  swarm.signal(host, SIGSTOP);
  measured("SIGSTOP of a host, until the trainer has made 300 more steps",
           swarm.wait_for_steps("trainer 1", kSomeSteps));
  swarm.signal(host, SIGCONT);
  measured("SIGCONT, until the trainer has made 300 more steps",
           swarm.wait_for_steps("trainer 1", kSomeSteps));
}

TEST(Swarm, GoesOnWhenATrainerIsKilled) {
  SwarmUnderTest swarm({.hosts = 2, .trainers = 2});
  swarm.wait_until("both train",
                   [&] { return swarm.step_of("trainer 1") > 0 && swarm.step_of("trainer 2") > 0; });
  swarm.signal("trainer 1", SIGKILL);
  measured("kill -9 of a trainer, until the other has made 300 more steps",
           swarm.wait_for_steps("trainer 2", kSomeSteps));
}

TEST(Swarm, AnotherServerAnswersWhenOneIsKilled) {
  SwarmUnderTest swarm({.hosts = 2, .trainers = 1, .servers = 2});
  swarm.wait_until_training();
  swarm.wait_until("an answer", [&] { return swarm.ask("apple", {"--tokens", "3"}).exit_code == 0; });
  swarm.signal("server 1", SIGKILL);
  measured("kill -9 of a server, until an answer", swarm.wait_until("an answer", [&] {
    return swarm.ask("apple", {"--tokens", "3"}).exit_code == 0;
  }));
}

// What a server on 127.0.0.1 answers to one request; empty: nothing.
std::string post(const std::string& at, const std::string& path, const std::string& body) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(at.substr(at.rfind(':') + 1))));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) {
    const std::string request =
        "POST " + path + " HTTP/1.1\r\nHost: " + at +
        "\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: " +
        std::to_string(body.size()) + "\r\n\r\n" + body;
    send(socket, request.data(), request.size(), MSG_NOSIGNAL);
    char bytes[4096];
    for (ssize_t n; (n = recv(socket, bytes, sizeof bytes, 0)) > 0;) answer.append(bytes, n);
  }
  close(socket);
  return answer;
}

TEST(Swarm, AServerAnswersOverHttp) {
  SwarmUnderTest swarm({.hosts = 2, .servers = 0});
  swarm.wait_until_training();
  const base::TestFolder scratch;
  Process server = Process::start({"serve", "--join", swarm.at("up"), "--listen", "127.0.0.1:0", "--state",
                                   scratch.path("state"), "--completions", "127.0.0.1:0", "--json"},
                                  scratch);
  ASSERT_TRUE(server.wait_for_output("\"event\":\"completions\"")) << server.errors();
  std::string at;
  std::istringstream lines(server.output());
  for (std::string line; std::getline(lines, line);) {
    const json said = json::parse(line, nullptr, false);
    if (said.is_object() && said.value("event", "") == "completions") at = said.value("at", "");
  }
  std::string answer;
  swarm.wait_until("it has a trunk and answers", [&] {
    answer = post(at, "/v1/completions", R"({"prompt": "apple of", "max_tokens": 5, "seed": 1})");
    return answer.starts_with("HTTP/1.1 200");
  });
  const json completion = json::parse(answer.substr(answer.find("\r\n\r\n") + 4), nullptr, false);
  EXPECT_EQ(completion.at("usage").at("completion_tokens"), 5) << answer;
  server.interrupt();
  EXPECT_EQ(server.finish().exit_code, 0);
}

TEST(Swarm, TheFirstPeerIsNotNeeded) {
  SwarmUnderTest swarm({.hosts = 2});
  swarm.wait_until_training();
  const std::string host = swarm.at("host 2");
  const json peers = json::parse(run_agora({"peers", "--join", host, "--json"}).out, nullptr, false);
  ASSERT_TRUE(peers.is_array());
  EXPECT_EQ(peers.size(), 5u);
}

TEST(Swarm, EndsInGoodOrderWhileItTrains) {
  SwarmUnderTest swarm({.hosts = 2});
  swarm.wait_until_training();
  const Outcome end = swarm.end();
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_THAT(end.out, HasSubstr("\"event\":\"saved\""));
  EXPECT_THAT(end.out, HasSubstr("\"event\":\"done\""));
}

// Of the first line of a trainer, or of its last.
enum class Line : uint8_t { first, last };
int64_t step_in(const std::string& output, Line which) {
  const std::string event = "\"event\":\"step\"";
  const size_t at = which == Line::first ? output.find(event) : output.rfind(event);
  const size_t number = output.find("\"step\":", at + event.size());
  return number == std::string::npos ? 0 : std::stoll(output.substr(number + 7));
}

Process resume(const base::TestFolder& scratch, const base::TestFolder& output) {
  return Process::start({"up", "--resume", scratch.path("run"), "--data", scratch.path("data"), "--hosts",
                         "2", "--trainers", "1", "--servers", "0", "--json"},
                        output);
}

TEST(Swarm, GoesOnFromWhatWasSaved) {
  const base::TestFolder scratch;
  {
    SwarmUnderTest swarm({.hosts = 2});
    swarm.wait_until_training();
    ASSERT_EQ(swarm.end().exit_code, 0);
    std::filesystem::rename(swarm.dir(), scratch / "run");
    std::filesystem::rename(swarm.data(), scratch / "data");
  }
  const json manifest = json::parse(read_file(scratch / "run" / "saved" / "manifest.json"), nullptr, false);
  const base::TestFolder output;
  Process again = resume(scratch, output);
  ASSERT_TRUE(again.wait_for_output("\"event\":\"step\""));
  again.interrupt();
  const Outcome outcome = again.finish();
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_GT(step_in(outcome.out, Line::first), manifest.at("step").get<int64_t>());
}

// Its processes end with it, in good order, and nobody has saved the whole swarm yet.
TEST(Swarm, GoesOnWhereItWasWhenAgoraUpWasKilled) {
  const base::TestFolder scratch;
  write_two_domains(scratch / "data");
  std::vector<std::string> arguments =
      small_train(scratch.path("data"), scratch.path("run"),
                  {"--steps", "1000000", "--hosts", "2", "--trainers", "1", "--servers", "0"});
  arguments[0] = "up";
  Process first = Process::start(arguments, scratch);
  ASSERT_TRUE(first.wait_for_output("\"step\":50,"));
  first.kill();
  const int64_t step = step_in(first.finish().out, Line::last);
  const base::TestFolder output;
  Process again = Process::start({"up", "--resume", scratch.path("run"), "--json"}, output);
  ASSERT_TRUE(again.wait_for_output("\"event\":\"step\"")) << again.errors();
  again.interrupt();
  const Outcome outcome = again.finish();
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_GT(step_in(outcome.out, Line::first), step);
  EXPECT_THAT(outcome.out, Not(HasSubstr("\"server 1\"")));
  EXPECT_THAT(outcome.out, HasSubstr("\"data\":\"" + scratch.path("data") + "\"")) << "as before";
}

}  // namespace
}  // namespace agora::e2e
