// Train, stop, go on, ask, explain, evaluate, inspect: the whole binary on real files.
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/e2e/small_run.h"

namespace agora::e2e {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<json> json_lines(const std::string& text) {
  std::vector<json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(json::parse(line));
  return lines;
}

class Training : public ::testing::Test {
 protected:
  Training() { write_two_domains(scratch_ / "data"); }

  std::string data() const { return scratch_.path("data"); }
  std::string folder(const std::string& name) const { return scratch_.path(name); }
  void train(const std::string& name) {
    const Outcome outcome = run_agora(small_train(data(), folder(name)));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }

  base::TestFolder scratch_;
};

TEST_F(Training, LearnsAndSaysSo) {
  const Outcome outcome = run_agora(small_train(data(), folder("run")));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::vector<json> lines = json_lines(outcome.out);
  EXPECT_EQ(lines.front().at("event"), "data");
  EXPECT_EQ(lines.front().at("domains").size(), 2u);
  EXPECT_EQ(lines.back().at("event"), "done");
  double first = 0;
  double last = 0;
  for (const json& line : lines) {
    if (line.at("event") != "step") continue;
    if (line.at("step") == 1) first = line.at("loss");
    last = line.at("loss");
  }
  EXPECT_LT(last, 0.8 * first);
}

TEST_F(Training, InterruptedAndResumedItIsTheSameRunToTheLastBit) {
  train("whole");
  Process process = Process::start(small_train(data(), folder("parts")), scratch_);
  ASSERT_TRUE(process.wait_for_output("\"step\":3"));
  process.interrupt();
  const Outcome stopped = process.finish();
  ASSERT_EQ(stopped.exit_code, 0) << stopped.err;
  ASSERT_THAT(stopped.out, HasSubstr("interrupted"));
  const Outcome resumed = run_agora({"train", "--json", "--resume", folder("parts")});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(read_file(folder("whole") + "/model.safetensors"),
            read_file(folder("parts") + "/model.safetensors"));
  EXPECT_EQ(read_file(folder("whole") + "/optimizer.safetensors"),
            read_file(folder("parts") + "/optimizer.safetensors"));
}

TEST_F(Training, AModelAnswersTheSameForTheSameSeed) {
  train("run");
  const std::vector<std::string> ask = {"ask",      folder("run"), "apple of", "--json",
                                        "--tokens", "30",          "--seed",   "4"};
  const Outcome one = run_agora(ask);
  ASSERT_EQ(one.exit_code, 0) << one.err;
  EXPECT_EQ(json::parse(one.out).at("answer"), json::parse(run_agora(ask).out).at("answer"));
  EXPECT_EQ(json::parse(one.out).at("tokens"), 30);
  const Outcome plain = run_agora({"ask", folder("run"), "apple of", "--tokens", "5", "--temperature", "0"});
  EXPECT_THAT(plain.out, HasSubstr("apple of"));
}

TEST_F(Training, ExplainsATextAndTheData) {
  train("run");
  const Outcome text = run_agora({"explain", folder("run"), "apple 49 </script>", "--domains", "--json",
                                  "--rows", "2000", "--ablation-rows", "256", "--html", folder("page.html")});
  ASSERT_EQ(text.exit_code, 0) << text.err;
  const json report = json::parse(text.out);
  EXPECT_EQ(report.at("text").size(), 18u);
  EXPECT_EQ(report.at("text")[0].at("layers").size(), 2u);
  EXPECT_EQ(report.at("text")[0].at("layers")[0].at("choices").size(), 2u);
  EXPECT_EQ(report.at("domains").size(), 2u);
  EXPECT_FALSE(report.at("ablation").is_null());
  const std::string page = read_file(folder("page.html"));
  EXPECT_THAT(page, HasSubstr("<svg"));
  EXPECT_THAT(page, Not(HasSubstr("http://")));
  EXPECT_THAT(page, Not(HasSubstr("</script>")));
  EXPECT_EQ(run_agora({"explain", folder("run"), "apple"}).exit_code, 0);
}

TEST_F(Training, EvaluatesAndInspects) {
  train("run");
  const Outcome eval = run_agora({"eval", folder("run"), "--json"});
  ASSERT_EQ(eval.exit_code, 0) << eval.err;
  EXPECT_EQ(json::parse(eval.out).at("domains").size(), 2u);
  const Outcome inspect = run_agora({"inspect", folder("run"), "--json"});
  ASSERT_EQ(inspect.exit_code, 0) << inspect.err;
  EXPECT_EQ(json::parse(inspect.out).at("config").at("model_type"), "qwen3_moe");
  EXPECT_THAT(run_agora({"inspect", folder("run") + "/optimizer.safetensors"}).out, HasSubstr("first:"));
}

}  // namespace
}  // namespace agora::e2e
