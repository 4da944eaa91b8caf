#include "tests/e2e/swarm_harness.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <sstream>

#include <gtest/gtest.h>

#include "tests/e2e/small_run.h"

namespace agora::e2e {
namespace {

using nlohmann::json;
using Seconds = std::chrono::duration<double>;

constexpr useconds_t kLookUs = 50'000;
constexpr int64_t kFewSteps = 3;
constexpr size_t kToldBytes = 2000;  // of each file: its end

std::vector<std::string> up_arguments(const std::string& data, const std::string& dir,
                                      const SwarmSetup& setup) {
  std::vector<std::string> arguments = small_train(data, dir, {"--steps", std::to_string(setup.steps)});
  arguments[0] = "up";
  for (const auto& [flag, count] :
       {std::pair("--hosts", setup.hosts), {"--trainers", setup.trainers}, {"--servers", setup.servers}}) {
    arguments.insert(arguments.end(), {flag, std::to_string(count)});
  }
  arguments.insert(arguments.end(), setup.more.begin(), setup.more.end());
  return arguments;
}

}  // namespace

SwarmUnderTest::SwarmUnderTest(const SwarmSetup& setup)
    : process_([&] {
        write_two_domains(scratch_ / "data");
        return Process::start(up_arguments(scratch_.path("data"), scratch_.path("run"), setup), scratch_);
      }()),
      processes_(setup.hosts + setup.trainers + setup.servers) {}

SwarmUnderTest::~SwarmUnderTest() {
  if (!ended_) end();
}

std::vector<json> SwarmUnderTest::lines() const {
  std::vector<json> all;
  std::istringstream text(process_.output());
  for (std::string line; std::getline(text, line);) {
    json value = json::parse(line, nullptr, false);
    if (value.is_object()) all.push_back(std::move(value));
  }
  return all;
}

std::optional<json> SwarmUnderTest::last(const std::string& event, const std::string& process) const {
  std::optional<json> found;
  for (json& line : lines()) {
    if (line.value("event", "") == event && line.value("process", "") == process) found = std::move(line);
  }
  return found;
}

int64_t SwarmUnderTest::step_of(const std::string& trainer) const {
  const auto line = last("step", trainer);
  return line ? line->at("step").get<int64_t>() : 0;
}

int64_t SwarmUnderTest::pid_of(const std::string& process) const {
  const auto line = last("up", process);
  return line ? line->at("pid").get<int64_t>() : 0;
}

std::string SwarmUnderTest::process_of(const std::string& peer) const {
  for (const json& line : lines()) {
    if (line.value("event", "") == "up" && line.value("peer", "") == peer) return line.at("process");
  }
  return "";
}

std::string SwarmUnderTest::at(const std::string& process) const {
  if (process == "up") {
    const auto start = last("start");
    return start ? start->at("at").get<std::string>() : "";
  }
  const auto line = last("up", process);
  return line ? line->at("at").get<std::string>() : "";
}

std::string SwarmUnderTest::http(const std::string& process) const {
  const auto line = last("up", process);
  return line ? line->at("http").get<std::string>() : "";
}

std::vector<std::string> SwarmUnderTest::running() const {
  std::vector<std::string> names;
  const auto line = last("swarm");
  if (!line) return names;
  for (const json& process : line->at("processes")) {
    if (process.at("running").get<bool>()) names.push_back(process.at("name"));
  }
  return names;
}

double SwarmUnderTest::wait_until(const std::string& what, const std::function<bool()>& is_so) {
  const auto begin = std::chrono::steady_clock::now();
  const auto seconds = [&] { return Seconds(std::chrono::steady_clock::now() - begin).count(); };
  while (!is_so()) {
    if (process_.has_ended()) {
      ADD_FAILURE() << "agora up ended before " << what << ":\n" << process_.errors();
      return seconds();
    }
    if (seconds() > kSecondsMax) {
      ADD_FAILURE() << "not within " << kSecondsMax << " s: " << what << "\n" << process_.errors() << told();
      return seconds();
    }
    usleep(kLookUs);
  }
  return seconds();
}

std::string SwarmUnderTest::told() const {
  std::ostringstream text;
  for (const json& line : lines()) {
    if (line.value("event", "") != "step" && line.value("event", "") != "swarm") text << line << "\n";
  }
  text << last("swarm").value_or(json("nothing of the swarm")) << "\n";
  std::error_code no_folder;
  for (const auto& file : std::filesystem::recursive_directory_iterator(dir(), no_folder)) {
    if (file.path().extension() != ".err" && file.path().filename() != "log") continue;
    const std::string all = read_file(file.path());
    text << file.path().string() << ":\n"
         << all.substr(all.size() - std::min(all.size(), kToldBytes)) << "\n";
  }
  return text.str();
}

void SwarmUnderTest::wait_until_up() {
  wait_until("every process is up", [&] { return static_cast<int64_t>(running().size()) == processes_; });
}

void SwarmUnderTest::wait_until_training() {
  wait_until_up();
  wait_until("a trainer makes steps", [&] { return step_of("trainer 1") >= kFewSteps; });
}

double SwarmUnderTest::wait_for_steps(const std::string& trainer, int64_t steps) {
  const int64_t from = step_of(trainer);
  return wait_until(trainer + " goes on", [&] { return step_of(trainer) >= from + steps; });
}

void SwarmUnderTest::signal(const std::string& process, int number) {
  const int64_t pid = pid_of(process);
  ASSERT_GT(pid, 0) << process << " is not up";
  ::kill(static_cast<pid_t>(pid), number);
}

Outcome SwarmUnderTest::run(std::vector<std::string> arguments) const {
  arguments.insert(arguments.end(), {"--run", dir(), "--json"});
  return run_agora(arguments);
}

json SwarmUnderTest::ask_json(std::vector<std::string> arguments) const {
  const Outcome outcome = run(std::move(arguments));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  return json::parse(outcome.out, nullptr, false);
}

Outcome SwarmUnderTest::ask(const std::string& text, const std::vector<std::string>& more) const {
  std::vector<std::string> arguments{"ask", "--swarm", text};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run(std::move(arguments));
}

Outcome SwarmUnderTest::end() {
  ended_ = true;
  process_.interrupt();
  return process_.finish();
}

void measured(const std::string& what, double seconds) {
  std::printf("[ MEASURED ] %s: %.2f s\n", what.c_str(), seconds);
  ::testing::Test::RecordProperty(what, std::to_string(seconds));
}

}  // namespace agora::e2e
