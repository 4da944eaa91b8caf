#include "apps/cli/recipe.h"

#include <algorithm>
#include <fstream>

#include "agora/base/test_folder.h"
#include <CLI/CLI.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Recipe : public ::testing::Test {
 protected:
  Recipe() {
    CLI::App* host = app_.add_subcommand("host");
    host->add_option("--room", room_);
    host->add_option("--join", join_);
    host->add_option("--data", data_);
    app_.add_subcommand("spec")->add_subcommand("make")->add_option("--room", room_);
    app_.add_subcommand("ask");
  }

  std::string written(const std::string& name, const std::string& text) const {
    const std::string file = folder_.path(name);
    std::ofstream(file) << text;
    return file;
  }
  std::string refused(std::vector<std::string> args) const {
    const auto flags = with_recipe(std::move(args), app_);
    return flags.ok() ? "" : std::string(flags.status().message());
  }

  const base::TestFolder folder_;
  CLI::App app_;
  int room_ = 0;
  std::vector<std::string> join_;
  std::string data_ = "some";
};

TEST_F(Recipe, BecomesFlagsBeforeThoseOfTheCommandLine) {
  const std::string file = written("host.toml", "# a host\nroom = 5\njoin = [\"a:1\", \"b:2\"]\n");
  EXPECT_THAT(*with_recipe({"host", file, "--room", "7"}, app_),
              ElementsAre("host", "--room=5", "--join=a:1", "--join=b:2", "--room", "7"));
  EXPECT_THAT(*with_recipe({"spec", "make", written("config.toml", "room = 1")}, app_),
              ElementsAre("spec", "make", "--room=1"));
  EXPECT_THAT(*with_recipe({"spec", "make", folder_.path()}, app_), ElementsAre("spec", "make", "--room=1"));
}

TEST_F(Recipe, MayLeaveAValueEmpty) {
  const std::string file = written("host.toml", "data = \"\"\nroom = 5\n");
  auto args = *with_recipe({"host", file}, app_);
  EXPECT_THAT(args, ElementsAre("host", "--data", "", "--room=5"));
  std::ranges::reverse(args);
  app_.parse(args);
  EXPECT_EQ(data_, "");
  EXPECT_EQ(room_, 5);
}

TEST_F(Recipe, RefusesTextsThatWouldBeReadAsOthers) {
  for (const char* odd : {"data = \"a # b\"", "data = \"half", "data = \"a\\\"b\"", "data = \"\\u00e9\"",
                          "join = [\"a:1\", 'b#2']", "join = [\n  \"a # b\"\n]"}) {
    EXPECT_THAT(refused({"host", written("odd.toml", odd)}), HasSubstr("expected quotes that are closed"))
        << odd;
  }
  for (const char* good : {"data = \"a\" # its \"b\"", "data = it's", "data = \"it's\"", "data = 'a\\b'",
                           "# data = \"a", "; data = \"a", "join = [\"a\",\"b\"]"}) {
    EXPECT_EQ(refused({"host", written("good.toml", good)}), "") << good;
  }
  EXPECT_THAT(*with_recipe({"host", written("good.toml", "data = 'a\\b' # c")}, app_),
              ElementsAre("host", "--data=a\\b"));
}

TEST_F(Recipe, IsLookedForOnlyWhereItMayStand) {
  EXPECT_THAT(*with_recipe({"host", "--room", "5"}, app_), ElementsAre("host", "--room", "5"));
  EXPECT_THAT(*with_recipe({"ask", "text"}, app_), ElementsAre("ask", "text"));
  EXPECT_THAT(*with_recipe({}, app_), ElementsAre());
  EXPECT_THAT(*with_recipe({"host"}, app_), ElementsAre("host"));
}

TEST_F(Recipe, NamesTheFileAndWhatIsWrongInIt) {
  EXPECT_THAT(refused({"host", "nowhere.toml"}), HasSubstr("nowhere.toml: expected a recipe"));
  const std::string odd = written("odd.toml", "rooms = 5\n");
  EXPECT_THAT(refused({"host", odd}), AllOf(HasSubstr(odd), HasSubstr("agora host has no flag --rooms")));
  EXPECT_THAT(refused({"host", written("section.toml", "[host]\nroom = 5\n")}), HasSubstr("--host.room"));
  EXPECT_THAT(refused({"host", written("help.toml", "help = true\n")}), HasSubstr("--help"));
  EXPECT_THAT(refused({"host", written("word.toml", "once upon a time\n")}), HasSubstr("has no flag"));
}

}  // namespace
}  // namespace agora::cli
