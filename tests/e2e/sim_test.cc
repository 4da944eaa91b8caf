// The simulator as a user runs it: same seed, same bytes; one clear sentence for what is wrong.
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/process.h"

namespace agora::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kScenario[] = R"toml(name = "short"
hosts = 5
gates = 2
warm_up_s = 8
faults_s = 20
calm_s = 10

[faults]
off = 0
loss = 0.2
crash_every_s = 5
partition_every_s = 10
)toml";

class Sim : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return scratch_.path(name); }
  std::string scenario(const std::string& toml) const {
    base::write_text(path("scenario.toml"), toml);
    return path("scenario.toml");
  }
  void expect_refused(const std::vector<std::string>& arguments, const std::string& says) const {
    const Outcome outcome = run_agora(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, AllOf(HasSubstr("agora: "), HasSubstr(says)));
  }

  base::TestFolder scratch_;
};

TEST_F(Sim, TheSameSeedGivesTheSameBytesAndPage) {
  const std::string file = scenario(kScenario);
  const Outcome first = run_agora({"sim", file, "--seed", "5", "--html", path("first.html")});
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const Outcome second = run_agora({"sim", file, "--seed", "5", "--html", path("second.html")});
  EXPECT_EQ(second.out, first.out);
  EXPECT_EQ(read_file(path("second.html")), read_file(path("first.html")));
  EXPECT_NE(run_agora({"sim", file, "--seed", "6"}).out, first.out);
}

TEST_F(Sim, TheReportFitsATerminalAndThePageNeedsNoNetwork) {
  const Outcome outcome = run_agora({"sim", scenario(kScenario), "--html", path("page.html")});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  std::istringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("scenario short, seed 1"), HasSubstr("recovery")));
  EXPECT_THAT(read_file(path("page.html")), AllOf(HasSubstr("<svg"), HasSubstr("its process is killed"),
                                                  Not(HasSubstr("http:")), Not(HasSubstr("https:"))));
}

TEST_F(Sim, BadScenariosAreNamed) {
  expect_refused({"sim", path("nowhere.toml")}, "nowhere.toml");
  expect_refused({"sim", scenario("hosst = 5\n")}, "hosst");
  expect_refused({"sim", scenario("hosts = \"many\"\n")}, "hosts");
  expect_refused({"sim", scenario("hosts = 2.5\n")}, "hosts");
  expect_refused({"sim", scenario("hosts = 0\n")}, "hosts: expected 1 to 100000, got 0");
  expect_refused({"sim", scenario("[faults]\nloss = 0.9\n")}, "faults.loss");
  expect_refused({"sim", scenario("[fautls]\nloss = 0.1\n")}, "fautls.loss");
  expect_refused({"sim", scenario("latency = \"moon\"\n")}, "expected lan, home or world, got moon");
  expect_refused({"sim", scenario("chosen = 8\nexperts = 8\n")}, "chosen");
  expect_refused({"sim", scenario("[faults\n")}, "scenario.toml");
  expect_refused({"sim", scenario(kScenario), "--peers", "200000"}, "hosts");
  expect_refused({"sim", scenario("layers = 100\nexperts = 60000\n")}, "layers * experts_max");
  expect_refused({"sim", scenario("[faults]\nfreeze_every_s = 0.0005\n")}, "faults.freeze_every_s");
}

TEST_F(Sim, HowManyAndHowLongIsNotPassedOver) {
  expect_refused({"sim", "random", "--peers", "50"}, "sim random: expected neither --peers nor --hours");
  expect_refused({"sim", "random", "--hours", "0.5"}, "sim random: expected neither --peers nor --hours");
  for (const std::string wrong : {"-5", "0", "nan", "many"}) {
    for (const std::string flag : {"--peers", "--hours"}) {
      const Outcome outcome = run_agora({"sim", scenario(kScenario), flag, wrong});
      EXPECT_EQ(outcome.exit_code, 2);
      EXPECT_THAT(outcome.err, HasSubstr(flag + ": expected a number above 0, found \"" + wrong + "\""));
    }
  }
}

TEST_F(Sim, ChecksNothingInACalmThatIsTooShort) {
  expect_refused({"sim", scenario(kScenario), "--check"}, "calm_s: expected 70 or more");
}

}  // namespace
}  // namespace agora::e2e
