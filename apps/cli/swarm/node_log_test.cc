#include "apps/cli/swarm/node_log.h"

#include "agora/base/test_folder.h"
#include "agora/weights/atomic_file.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::cli {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

TEST(NodeLog, AValueNeverMakesALineOfItsOwn) {
  EXPECT_EQ(log_value("127.0.0.1:4700"), "127.0.0.1:4700");
  EXPECT_EQ(log_value("a b"), "\"a b\"");
  EXPECT_EQ(log_value("x\ny=\"1\""), "\"x\\ny=\\\"1\\\"\"");
  EXPECT_EQ(log_value(""), "\"\"");
}

TEST(NodeLog, WritesWholeLinesToItsFile) {
  const base::TestFolder folder;
  const std::string path = folder.path("log");
  {
    auto log = NodeLog::open(path, "1f2e");
    ASSERT_TRUE(log.ok()) << log.status();
    (*log)->info("peer seen", {{"other", "99aa"}});
  }
  const auto text = weights::read_file(path, 1 << 20);
  ASSERT_TRUE(text.ok());
  EXPECT_THAT(*text, EndsWith(" info peer=1f2e event=\"peer seen\" other=99aa\n"));
}

TEST(NodeLog, AFileThatCanNotBeOpenedIsNamed) {
  const auto log = NodeLog::open("/proc/nothing/log", "1f2e");
  ASSERT_FALSE(log.ok());
  EXPECT_THAT(std::string(log.status().message()), HasSubstr("/proc/nothing/log"));
}

}  // namespace
}  // namespace agora::cli
