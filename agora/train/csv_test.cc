#include "agora/train/csv.h"

#include <cmath>

#include "agora/train/test_data.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace agora::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string message(std::string_view text) {
  return std::string(parse_csv(text, "t.csv").status().message());
}

TEST(Csv, ReadsNumbersByName) {
  const auto table = parse_csv("a, b ,\"c,d\"\r\n1,-2.5,+3e2\r\n\r\n\"4\",5,6", "t.csv");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->rows, 2);
  EXPECT_THAT(table->values, ElementsAre(1, -2.5f, 300, 4, 5, 6));
  EXPECT_EQ(table->number_column("b").value(), 1);
  EXPECT_EQ(table->column("c,d").value(), 2);
  EXPECT_EQ(table->at(1, 2), 6);
  EXPECT_THAT(std::string(table->column("x").status().message()), HasSubstr("it has \"a\", \"b\", \"c,d\""));
}

TEST(Csv, MissingValuesAreNotNumbers) {
  const auto table = parse_csv(
      "\xef\xbb\xbf"
      "a,b\n,1\nNA,2\n?,3\n4,NaN\n",
      "t.csv");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->columns[0].name, "a");
  for (int64_t row = 0; row < 3; ++row) EXPECT_TRUE(std::isnan(table->at(row, 0)));
  EXPECT_EQ(table->at(3, 0), 4);
  EXPECT_TRUE(std::isnan(table->at(3, 1)));
}

TEST(Csv, TextMakesCategories) {
  const auto table = parse_csv("n,kind\n1,\"red \"\"x\"\"\"\n2,7\n3,\n4,7\n", "t.csv");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_THAT(table->columns[1].categories, ElementsAre("red \"x\"", "7"));
  EXPECT_EQ(table->at(0, 1), 0);
  EXPECT_EQ(table->at(1, 1), 1);
  EXPECT_TRUE(std::isnan(table->at(2, 1)));
  EXPECT_EQ(table->at(3, 1), 1);
  EXPECT_THAT(std::string(table->number_column("kind").status().message()),
              HasSubstr("has text: line 2, \"red"));
}

TEST(Csv, ErrorsNameLineAndColumn) {
  EXPECT_THAT(message(""), HasSubstr("t.csv: it is empty"));
  EXPECT_THAT(message("a,b\n"), HasSubstr("no rows"));
  EXPECT_THAT(message("a,b,a\n1,2,3\n"), HasSubstr("line 1: two columns have the name \"a\""));
  EXPECT_THAT(message("a,b\n1,2\n3\n"), HasSubstr("line 3: it has 1 fields, the header has 2"));
  EXPECT_THAT(message("a,b\n1,2,3\n"), HasSubstr("line 2: it has 3 fields"));
  EXPECT_THAT(message("a,b\n1,2\n1,\"2\n\n"), HasSubstr("line 3: a quoted field is not closed"));
  EXPECT_THAT(message("a\n\"1\"2\n"), HasSubstr("line 2: a quoted field must be followed"));
  EXPECT_THAT(message("a,b\n1,2\n1,1e99\n"),
              HasSubstr("line 3: column \"b\" has \"1e99\", expected a finite"));
  EXPECT_THAT(message("a\n1\ninf\n"), HasSubstr("line 3: column \"a\" has \"inf\""));
}

TEST(Csv, LinesInsideQuotesCount) {
  EXPECT_THAT(message("a,b\n1,\"x\ny\"\n1\n"), HasSubstr("line 4: it has 1 fields"));
}

TEST(Csv, ReadsTheVowels) {
  const std::string path = real_data("vowel/vowel.train");
  if (path.empty()) GTEST_SKIP() << kNoRealData;
  const auto table = read_csv(path);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->rows, 528);
  EXPECT_EQ(table->columns.size(), 12u);
  EXPECT_EQ(table->at(0, table->number_column("x.1").value()), -3.639f);
}

}  // namespace
}  // namespace agora::train
