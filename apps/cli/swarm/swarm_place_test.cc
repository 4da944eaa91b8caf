#include "apps/cli/swarm/swarm_place.h"

#include <chrono>
#include <filesystem>

#include "agora/base/test_folder.h"
#include <gtest/gtest.h>

namespace agora::cli {
namespace {

TEST(SwarmPlace, IsReadAsItWasWritten) {
  const base::TestFolder folder;
  const SwarmPlace place{.name = "words",
                         .dir = "",
                         .swarm_key_file = "home.key",
                         .data = "/texts",
                         .started = ProcessCounts{.hosts = 3, .trainers = 2, .servers = 0},
                         .room = 9,
                         .rows = "int8",
                         .peers = {{.name = "up", .pid = 7, .at = {"127.0.0.1", 4700}, .http = {}}}};
  ASSERT_TRUE(write_place(folder.path(), place).ok());
  const auto read = read_place(folder.path());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->name, "words");
  EXPECT_EQ(read->dir, folder.path());
  EXPECT_EQ(read->swarm_key_file, "home.key");
  EXPECT_EQ(read->data, "/texts");
  ASSERT_TRUE(read->started);
  EXPECT_EQ(read->started->hosts, 3);
  EXPECT_EQ(read->started->trainers, 2);
  EXPECT_EQ(read->started->servers, 0);
  EXPECT_EQ(read->room, 9);
  EXPECT_EQ(read->rows, "int8");
  ASSERT_EQ(read->peers.size(), 1u);
  EXPECT_EQ(read->peers[0].at.text(), "127.0.0.1:4700");
  EXPECT_TRUE(read->peers[0].http.empty());
}

TEST(SwarmPlace, AnOlderFileSaysLess) {
  const base::TestFolder folder;
  base::write_text(folder.path("swarm.json"), R"({"name": "words", "swarm_key": "", "peers": []})");
  const auto read = read_place(folder.path());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->data, "");
  EXPECT_FALSE(read->started);
}

TEST(SwarmPlace, NamesNeedNotBeUtf8) {
  const base::TestFolder folder;
  ASSERT_TRUE(write_place(folder.path(), {.name = "caf\xe9"}).ok());
  EXPECT_EQ(read_place(folder.path())->name, "caf\xef\xbf\xbd");
}

TEST(SwarmPlace, TheLatestIsOneThatStarted) {
  const base::TestFolder folder;
  const std::string runs = folder.path("runs");
  const auto now = std::filesystem::file_time_type::clock::now();
  int age_s = 0;
  for (const char* name : {"failed", "started", "older"}) {
    const std::string dir = runs + "/" + name;
    std::filesystem::create_directories(dir);
    SwarmPlace place{.name = name};
    if (place.name != "failed") place.peers.push_back({.name = "up", .at = {"127.0.0.1", 4700}, .http = {}});
    ASSERT_TRUE(write_place(dir, place).ok());
    std::filesystem::last_write_time(dir + "/swarm.json", now - std::chrono::seconds(age_s++));
  }
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  const auto found = find_place({});
  std::filesystem::current_path(before);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->name, "started");
}

}  // namespace
}  // namespace agora::cli
