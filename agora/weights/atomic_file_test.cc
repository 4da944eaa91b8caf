#include "agora/weights/atomic_file.h"

#include <signal.h>

#include <filesystem>

#include "agora/base/test_folder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include <sys/resource.h>
#include <sys/stat.h>

namespace agora::weights {
namespace {

using base::TestFolder;
using base::write_text;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr int64_t kEnough = 1 << 24;

std::string message(const Status& status) { return std::string(status.message()); }

// Files of this process can not grow over the limit while it lives: what a full disk looks like to write().
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { ::setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

TEST(AtomicFile, AppearsWholeAtCommit) {
  TestFolder folder;
  const std::string path = folder.path("x");
  ASSERT_TRUE(write_file_atomic(path, "old").ok());
  auto file = AtomicFile::create(path);
  ASSERT_TRUE(file.ok());
  const std::string large(3'000'000, 'b');
  ASSERT_TRUE((*file)->append(base::as_bytes("head")).ok());
  ASSERT_TRUE((*file)->append(base::as_bytes(large)).ok());
  ASSERT_TRUE((*file)->append(base::as_bytes("tail")).ok());
  ASSERT_TRUE((*file)->overwrite(0, base::as_bytes("HEAD")).ok());
  EXPECT_EQ(read_file(path, kEnough).value(), "old");
  ASSERT_TRUE((*file)->commit().ok());
  EXPECT_EQ(read_file(path, kEnough).value(), "HEAD" + large + "tail");
  EXPECT_EQ(folder.files(), 1);
}

TEST(AtomicFile, WithoutCommitNothingChanges) {
  TestFolder folder;
  ASSERT_TRUE(write_file_atomic(folder.path("x"), "old").ok());
  {
    auto file = AtomicFile::create(folder.path("x"));
    ASSERT_TRUE((*file)->append(base::as_bytes("new")).ok());
  }
  EXPECT_EQ(read_file(folder.path("x"), kEnough).value(), "old");
  EXPECT_EQ(folder.files(), 1);
}

TEST(AtomicFile, FullDiskKeepsTheOldFileAndLeavesNoTemporary) {
  TestFolder folder;
  const std::string path = folder.path("x");
  ASSERT_TRUE(write_file_atomic(path, "old").ok());
  Status status;
  {
    FileSizeLimit limit(100'000);
    status = write_file_atomic(path, std::string(5'000'000, 'n'));
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(message(status), HasSubstr(path));
  EXPECT_THAT(message(status), HasSubstr("make room"));
  EXPECT_EQ(read_file(path, kEnough).value(), "old");
  EXPECT_EQ(folder.files(), 1);
}

TEST(AtomicFile, AFolderThatIsNotThereIsNamed) {
  TestFolder folder;
  const Status status = write_file_atomic(folder.path("none/x"), "y");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(message(status), HasSubstr("none/x: No such file"));
}

TEST(ReadFile, RefusesWhatIsTooLargeOrNoFile) {
  TestFolder folder;
  write_text(folder.path("x"), "12345");
  write_text(folder.path("empty"), "");
  EXPECT_EQ(read_file(folder.path("x"), 5).value(), "12345");
  EXPECT_EQ(read_file(folder.path("empty"), 0).value(), "");
  EXPECT_THAT(message(read_file(folder.path("x"), 4).status()), HasSubstr("the limit is 4"));
  EXPECT_THAT(message(read_file(folder.path(), 4).status()), HasSubstr("it is a folder"));
  EXPECT_THAT(message(read_file(folder.path("none"), 4).status()), HasSubstr("No such file"));
  ASSERT_EQ(::mkfifo(folder.path("pipe").c_str(), 0600), 0);
  EXPECT_FALSE(read_file(folder.path("pipe"), 4).ok());
}

TEST(ReadFile, ReadsFilesThatClaimNoSize) {
  EXPECT_THAT(read_file("/proc/self/status", kEnough).value(), HasSubstr("Name:"));
}

TEST(MappedFile, HasTheBytes) {
  TestFolder folder;
  write_text(folder.path("x"), "mapped");
  write_text(folder.path("empty"), "");
  EXPECT_EQ(base::as_text(MappedFile::open(folder.path("x")).value()->bytes()), "mapped");
  EXPECT_TRUE(MappedFile::open(folder.path("empty")).value()->bytes().empty());
  EXPECT_FALSE(MappedFile::open(folder.path("none")).ok());
  EXPECT_FALSE(MappedFile::open(folder.path()).ok());
}

TEST(AtomicFolder, ReplacesTheOldOneInOneStep) {
  TestFolder folder;
  write_text(folder.path("runs/model/only_old"), "1");
  auto fresh = AtomicFolder::create(folder.path("runs/model/"), "/only_old");
  ASSERT_TRUE(fresh.ok());
  write_text((*fresh)->path() + "/only_new", "2");
  EXPECT_TRUE(fs::exists(folder.path("runs/model/only_old")));
  ASSERT_TRUE((*fresh)->commit().ok());
  fresh->reset();
  EXPECT_FALSE(fs::exists(folder.path("runs/model/only_old")));
  EXPECT_TRUE(fs::exists(folder.path("runs/model/only_new")));
  EXPECT_EQ(folder.files(), 1);
}

TEST(AtomicFolder, MakesParentsAndRemovesWhatACrashLeft) {
  TestFolder folder;
  const std::string dead = AtomicFolder::create(folder.path("a/b/model"), "/x").value()->path();
  write_text(dead + "/half", "left by a crash");
  {
    auto fresh = AtomicFolder::create(folder.path("a/b/model"), "/x");
    ASSERT_TRUE(fresh.ok());
    EXPECT_FALSE(fs::exists(dead));
    write_text((*fresh)->path() + "/x", "1");
    ASSERT_TRUE((*fresh)->commit().ok());
  }
  EXPECT_TRUE(fs::exists(folder.path("a/b/model/x")));
  { auto abandoned = AtomicFolder::create(folder.path("c/model"), "/x"); }
  EXPECT_TRUE(fs::is_empty(folder.path("c")));
}

// Where folders can not be exchanged a crash may leave the old one alone: it is all that there is.
TEST(AtomicFolder, TheOldOneStaysUntilThereIsANewOne) {
  TestFolder folder;
  std::string old = AtomicFolder::create(folder.path("model"), "/x").value()->path();
  old.replace(old.rfind(".tmp"), std::string::npos, ".old");
  write_text(old + "/x", "1");
  {
    auto fresh = AtomicFolder::create(folder.path("model"), "/x");
    ASSERT_TRUE(fresh.ok());
    EXPECT_TRUE(fs::exists(old));
    write_text((*fresh)->path() + "/x", "2");
    ASSERT_TRUE((*fresh)->commit().ok());
  }
  EXPECT_TRUE(AtomicFolder::create(folder.path("model"), "/x").ok());
  EXPECT_FALSE(fs::exists(old));
}

TEST(AtomicFolder, TwoWritersDoNotMeet) {
  TestFolder folder;
  auto first = AtomicFolder::create(folder.path("model"), "/x");
  ASSERT_TRUE(first.ok());
  write_text((*first)->path() + "/x", "1");
  auto second = AtomicFolder::create(folder.path("model"), "/x");
  ASSERT_TRUE(second.ok());
  write_text((*second)->path() + "/x", "2");
  EXPECT_TRUE((*first)->commit().ok());
  EXPECT_EQ(read_file(folder.path("model/x"), kEnough).value(), "1");
  EXPECT_TRUE((*second)->commit().ok());
  EXPECT_EQ(read_file(folder.path("model/x"), kEnough).value(), "2");
  first->reset();
  second->reset();
  EXPECT_EQ(folder.files(), 1);
}

TEST(AtomicFolder, FollowsALink) {
  TestFolder folder;
  write_text(folder.path("disk/model/x"), "old");
  fs::create_directory_symlink(folder.path("disk/model"), folder.path("link"));
  auto fresh = AtomicFolder::create(folder.path("link"), "/x");
  ASSERT_TRUE(fresh.ok());
  write_text((*fresh)->path() + "/x", "new");
  ASSERT_TRUE((*fresh)->commit().ok());
  EXPECT_EQ(read_file(folder.path("disk/model/x"), kEnough).value(), "new");
}

TEST(AtomicFolder, LeavesWhatIsNotItsOwn) {
  TestFolder folder;
  write_text(folder.path("results/notes.txt"), "a year's work");
  write_text(folder.path("file"), "");
  for (const char* beside : {"empty.tmp/mine", "empty.old.tmp/mine", "empty.agora/mine"}) {
    write_text(folder.path(beside), "a day's work");
  }
  fs::create_directories(folder.path("empty"));
  EXPECT_THAT(message(AtomicFolder::create(folder.path("results/"), "/x").status()), HasSubstr("lost"));
  EXPECT_FALSE(AtomicFolder::create(folder.path("file"), "/x").ok());
  auto fresh = AtomicFolder::create(folder.path("empty"), "/x");
  ASSERT_TRUE(fresh.ok());
  write_text(folder.path("empty/notes.txt"), "put there meanwhile");
  EXPECT_FALSE((*fresh)->commit().ok());
  fresh->reset();
  EXPECT_TRUE(fs::exists(folder.path("results/notes.txt")));
  EXPECT_TRUE(fs::exists(folder.path("empty/notes.txt")));
  EXPECT_EQ(folder.files(), 6);
}

}  // namespace
}  // namespace agora::weights
