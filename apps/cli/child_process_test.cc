#include "apps/cli/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

namespace agora::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

ChildProcess shell(const std::string& script, int64_t file_bytes_max = 0) {
  auto child = ChildProcess::start({.program = "/bin/sh",
                                    .arguments = {"-c", script},
                                    .error_file = "",
                                    .file_bytes_max = file_bytes_max});
  EXPECT_TRUE(child.ok()) << child.status();
  return *std::move(child);
}

// Everything it prints until it closes its output.
std::vector<std::string> all_lines(ChildProcess& child) {
  std::vector<std::string> all;
  while (child.output() >= 0) {
    pollfd pipe{child.output(), POLLIN, 0};
    poll(&pipe, 1, 10'000);
    for (std::string& line : child.read_lines()) all.push_back(std::move(line));
  }
  return all;
}

void wait_for(ChildProcess& child) {
  siginfo_t info;
  waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT);
  EXPECT_TRUE(child.ended());
}

TEST(ChildProcess, GivesWholeLinesAndTheLastWithoutItsEnd) {
  ChildProcess child = shell("echo one; printf 'two\\nthree'");
  EXPECT_THAT(all_lines(child), ElementsAre("one", "two", "three"));
  wait_for(child);
  EXPECT_TRUE(child.ended_well());
  EXPECT_EQ(child.end_text(), "ended");
}

TEST(ChildProcess, NeverWaitsForOutput) {
  ChildProcess child = shell("exec sleep 100");
  EXPECT_THAT(child.read_lines(), IsEmpty());
  EXPECT_FALSE(child.ended());
  child.signal(SIGTERM);
  wait_for(child);
  EXPECT_FALSE(child.ended_well());
  EXPECT_EQ(child.end_text(), "killed by signal 15");
}

TEST(ChildProcess, SaysHowItEnded) {
  ChildProcess child = shell("exit 3");
  wait_for(child);
  EXPECT_EQ(child.end_text(), "ended with 3");
  child.signal(SIGKILL);  // nobody is hit
  EXPECT_EQ(child.end_text(), "ended with 3");
}

TEST(ChildProcess, IsKilledWithItsObject) {
  pid_t pid = 0;
  {
    ChildProcess child = shell("trap '' TERM INT; echo up; while :; do sleep 1; done");
    pid = child.pid();
  }
  EXPECT_EQ(kill(pid, 0), -1) << "it is gone, and waited for";
}

TEST(ChildProcess, HasAProcessGroupOfItsOwn) {
  ChildProcess child = shell("echo up; exec sleep 100");
  pollfd pipe{child.output(), POLLIN, 0};
  poll(&pipe, 1, 10'000);
  EXPECT_EQ(getpgid(child.pid()), child.pid());
}

// A port that the parent listened at is free once the parent has ended, whoever lives on.
TEST(ChildProcess, HasNoFilesOfItsParent) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_NONBLOCK), 0);
  ChildProcess child = shell("echo up; exec sleep 100");
  pollfd pipe{child.output(), POLLIN, 0};
  poll(&pipe, 1, 10'000);  // it is another program now
  close(ends[1]);
  char byte = 0;
  EXPECT_EQ(read(ends[0], &byte, 1), 0) << "the end: nobody else can write";
  close(ends[0]);
}

TEST(ChildProcess, AProgramThatIsNotThereEndsWith127) {
  auto child = ChildProcess::start({.program = "/nowhere/at/all", .arguments = {}, .error_file = ""});
  ASSERT_TRUE(child.ok());
  wait_for(*child);
  EXPECT_EQ(child->end_text(), "ended with 127");
}

TEST(ChildProcess, AMovedOneIsTheSame) {
  ChildProcess child = shell("exec sleep 100");
  const pid_t pid = child.pid();
  ChildProcess moved = std::move(child);
  EXPECT_EQ(moved.pid(), pid);
  EXPECT_EQ(kill(pid, 0), 0);
}

}  // namespace
}  // namespace agora::cli
