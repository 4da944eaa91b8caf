#include "apps/cli/classic.h"

#include <filesystem>
#include <fstream>

#include "agora/base/rng.h"
#include "agora/base/test_folder.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::cli {
namespace {

using testing::HasSubstr;

class Classic : public testing::Test {
 protected:
  void SetUp() override {
    write("vowel.train", 2);
    write("vowel.test", 1);
  }

  // Rows as in Deterding's data: the eleven vowels in turn, six times a speaker; easy ones.
  void write(const std::string& name, int speakers, const std::string& last_line = "") {
    std::ofstream out(folder_ / name);
    Rng rng(name.size());
    out << "row.names,y,x.1,x.2\n";
    for (int n = 0; n < speakers * 66; ++n) {
      const int vowel = n % 11;
      out << n + 1 << ',' << vowel + 1 << ',' << vowel % 4 + 0.1 * rng.normal() << ','
          << vowel / 4 + 0.1 * rng.normal() << '\n';
    }
    out << last_line;
  }

  ClassicOptions options() const {
    ClassicOptions options;
    options.data = folder_.path();
    options.model.hidden = 4;
    options.model.expert_decay = 0.01;
    options.model.gate_decay = 0.01;
    options.network_decay = 0.01;
    options.model.members = 2;
    options.seeds = 2;
    options.threads = 1;
    return options;
  }

  const base::TestFolder folder_;
};

TEST_F(Classic, LearnsEasyVowelsByEveryMethod) {
  for (const ClassicMethod method : {ClassicMethod::competitive, ClassicMethod::cooperative,
                                     ClassicMethod::tree, ClassicMethod::localised}) {
    ClassicOptions o = options();
    o.model.method = method;
    o.model.iterations = 60;
    const auto report = run_classic(o);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_GT(report->mixture.committee[0], 0.9) << static_cast<int>(method);
    EXPECT_NEAR(
        static_cast<double>(report->network.parameters) / static_cast<double>(report->mixture.parameters), 1,
        0.1);
    for (int64_t vowel = 0; vowel < 11; ++vowel) {
      double sum = 0;
      for (int64_t e = 0; e < report->expert_by_class.rows; ++e) sum += report->expert_by_class(e, vowel);
      EXPECT_NEAR(sum, 1.0, 1e-9);
    }
  }
}

TEST_F(Classic, AnswersDoNotDependOnThreads) {
  ClassicOptions o = options();
  o.model.iterations = 10;
  const auto one = run_classic(o);
  o.threads = 3;
  const auto three = run_classic(o);
  ASSERT_TRUE(one.ok() && three.ok());
  EXPECT_EQ(one->mixture.single, three->mixture.single);
  EXPECT_EQ(one->mixture.committee, three->mixture.committee);
  EXPECT_EQ(one->network.single, three->network.single);
}

TEST_F(Classic, CrossValidationLooksAtTrainingRowsOnly) {
  ClassicOptions o = options();
  o.cross_validate = true;
  o.model.iterations = 10;
  const auto before = run_classic(o);
  write("vowel.test", 3);
  const auto after = run_classic(o);
  ASSERT_TRUE(before.ok() && after.ok());
  EXPECT_EQ(before->mixture.single, after->mixture.single);
  EXPECT_EQ(before->expert_by_class.rows, 0);
}

TEST_F(Classic, FoldsLeaveOneSpeakerOut) {
  const auto data = read_vowels(folder_.path());
  ASSERT_TRUE(data.ok()) << data.status();
  const auto folds = speaker_folds(data->train);
  ASSERT_TRUE(folds.ok());
  ASSERT_EQ(folds->size(), 2u);
  EXPECT_EQ((*folds)[1].train.rows(), 66);
  EXPECT_EQ((*folds)[1].test.x(0, 0), data->train.x(66, 0));
  EXPECT_FALSE(speaker_folds(data->test).ok());
}

TEST_F(Classic, RefusesBadInput) {
  write("vowel.test", 1, "67,12,0,0\n");
  EXPECT_THAT(std::string(run_classic(options()).status().message()), HasSubstr("row 67 has y = 12"));
  write("vowel.test", 1, "67,1,,0\n");
  EXPECT_THAT(std::string(run_classic(options()).status().message()), HasSubstr("vowel.test"));
  write("vowel.test", 1);
  std::filesystem::remove(folder_ / "vowel.train");
  EXPECT_THAT(std::string(run_classic(options()).status().message()), HasSubstr("vowel.train"));
  ClassicOptions o = options();
  o.recipe = "weather";
  EXPECT_THAT(std::string(run_classic(o).status().message()), HasSubstr("weather"));
  o = options();
  o.seeds = 0;
  EXPECT_FALSE(run_classic(o).ok());
}

}  // namespace
}  // namespace agora::cli
