#include "agora/train/text_files.h"

#include <zlib.h>

#include <filesystem>

#include "agora/base/test_folder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include <sys/stat.h>

namespace agora::train {
namespace {

using base::TestFolder;
using base::write_text;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

std::vector<std::string> names_of(const Corpus& corpus) {
  std::vector<std::string> names;
  for (const Domain& domain : corpus.domains) names.push_back(domain.name);
  return names;
}

std::string notes_of(const Corpus& corpus) {
  std::string notes;
  for (const std::string& note : corpus.notes) notes += note + "\n";
  return notes;
}

TEST(ReadTextFiles, ASubFolderIsADomain) {
  TestFolder folder;
  write_text(folder.path("data/top.txt"), "at the top\n");
  write_text(folder.path("data/poems/a"), "one\n");
  write_text(folder.path("data/poems/deep/b"), "two\n");
  write_text(folder.path("data/code/x.c"), "int x;\n");
  const auto corpus = read_text_files(folder.path("data"), {});
  ASSERT_TRUE(corpus.ok()) << corpus.status();
  EXPECT_THAT(names_of(*corpus), ElementsAre("data", "code", "poems"));
  EXPECT_EQ(corpus->domains[2].files, 2);
  EXPECT_EQ(corpus->domains[2].bytes_train(), 8);
}

TEST(ReadTextFiles, OneFileIsADomain) {
  TestFolder folder;
  write_text(folder.path("tiny.txt"), "text \xff that is not UTF-8\n");
  const auto corpus = read_text_files(folder.path("tiny.txt"), {});
  ASSERT_TRUE(corpus.ok()) << corpus.status();
  EXPECT_THAT(names_of(*corpus), ElementsAre("tiny"));
  EXPECT_EQ(corpus->domains[0].train[0].text, "text \xff that is not UTF-8\n");
}

TEST(ReadTextFiles, WhatIsNotTextIsLeftOutWithANote) {
  TestFolder folder;
  write_text(folder.path("good"), "good\n");
  write_text(folder.path("same"), "good\n");
  write_text(folder.path("empty"), "");
  write_text(folder.path("binary"), std::string("GIF\0\1\2", 6));
  write_text(folder.path("controls"), "\x01\x02\x03 text");
  write_text(folder.path("sub/.git/object"), "hidden");
  write_text(folder.path("sub/x"), "in sub\n");
  fs::create_symlink(folder.path("gone"), folder.path("dangling"));
  fs::create_directory_symlink(folder.path("sub"), folder.path("sub/again"));
  ASSERT_EQ(::mkfifo(folder.path("pipe").c_str(), 0600), 0);
  const auto corpus = read_text_files(folder.path(), {});
  ASSERT_TRUE(corpus.ok()) << corpus.status();
  EXPECT_EQ(corpus->domains[0].files, 1);
  EXPECT_EQ(corpus->domains[1].files, 1);
  const std::string notes = notes_of(*corpus);
  for (const char* part : {"empty files: 1", "binary files: 2", "files that can not be read",
                           "hidden files or folders: 1", "files with the text of another"}) {
    EXPECT_THAT(notes, HasSubstr(part));
  }
}

TEST(ReadTextFiles, NothingToReadIsAnError) {
  TestFolder folder;
  EXPECT_THAT(std::string(read_text_files(folder.path("none"), {}).status().message()),
              HasSubstr("No such file"));
  EXPECT_THAT(std::string(read_text_files(folder.path(), {}).status().message()),
              HasSubstr("no text to train on"));
  write_text(folder.path("only"), std::string(10, '\0'));
  const Status status = read_text_files(folder.path(), {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("binary files: 1"));
}

TEST(ReadTextFiles, LimitsCutAtLinesAndTakeTheSameFilesEveryTime) {
  TestFolder folder;
  std::string lines;
  for (int i = 0; i < 1000; ++i) lines += "a line of text " + std::to_string(i) + "\n";
  for (int i = 0; i < 20; ++i)
    write_text(folder.path("d/" + std::to_string(i)), std::to_string(i) + "\n" + lines);
  const TextLimits limits = {.domain_bytes_max = 50'000, .file_bytes_max = 10'000};
  const auto corpus = read_text_files(folder.path(), limits);
  ASSERT_TRUE(corpus.ok()) << corpus.status();
  const Domain& domain = corpus->domains[0];
  EXPECT_LE(domain.bytes_train(), 50'000);
  EXPECT_GE(domain.bytes_train(), 45'000);
  for (const Document& document : domain.train) EXPECT_EQ(document.text.back(), '\n');
  EXPECT_THAT(notes_of(*corpus), HasSubstr("files cut after 10000 bytes"));
  const auto again = read_text_files(folder.path(), limits);
  ASSERT_EQ(again->domains[0].train.size(), domain.train.size());
  for (size_t i = 0; i < domain.train.size(); ++i)
    EXPECT_EQ(again->domains[0].train[i].name, domain.train[i].name);
}

// Else a run would not go on, and would be measured on what it learned from, where its data was moved.
TEST(ReadTextFiles, TheOrderDoesNotDependOnWhereTheFolderLies) {
  TestFolder folder;
  for (const std::string place : {"here/", "over/there/"}) {
    for (int i = 0; i < 10; ++i) {
      const std::string name = std::to_string(i);
      write_text(folder.path(place + "data/" + name), "at the top " + name + "\n");
      write_text(folder.path(place + "data/sub/" + name), "below " + name + "\n");
    }
  }
  const auto here = read_text_files(folder.path("here/data"), {});
  const auto there = read_text_files(folder.path("over/there/data"), {});
  ASSERT_EQ(here->domains.size(), 2u);
  for (size_t d = 0; d < 2; ++d) {
    for (size_t i = 0; i < 10; ++i)
      EXPECT_EQ(here->domains[d].train[i].text, there->domains[d].train[i].text);
  }
}

TEST(ReadTextFiles, AHugeLineIsText) {
  TestFolder folder;
  write_text(folder.path("line"), std::string(3'000'000, 'x'));
  const auto corpus = read_text_files(folder.path(), {.file_bytes_max = 1'000'000});
  ASSERT_TRUE(corpus.ok()) << corpus.status();
  EXPECT_EQ(corpus->domains[0].bytes_train(), 1'000'000);
}

TEST(ReadMachineText, FindsTheKindsUnderARoot) {
  TestFolder root;
  write_text(root.path("usr/include/a.h"), "int a;\n");
  write_text(root.path("usr/include/c++/12/vector"), "namespace std {}\n");
  write_text(root.path("usr/include/skipped.o"), "not a header\n");
  write_text(root.path("usr/lib/python3.11/x.py"), "x = 1\n");
  write_text(root.path("usr/lib/some-machine/perl-base/A.pm"), "package A;\n");
  write_text(root.path("usr/share/doc/p/copyright"), "free\n");
  write_text(root.path("etc/secret.h"), "password\n");
  fs::create_directories(root.path("usr/share/man/man1"));
  gzFile page = ::gzopen(root.path("usr/share/man/man1/ls.1.gz").c_str(), "wb");
  ::gzputs(page, ".TH LS 1\n");
  ::gzclose(page);
  TextLimits limits = kMachineLimits;
  limits.domain_bytes_min = 0;
  const auto corpus = read_machine_text(limits, root.path() + "/");
  ASSERT_TRUE(corpus.ok()) << corpus.status();
  EXPECT_THAT(names_of(*corpus), ElementsAre("c headers", "python", "perl", "manual pages", "documentation"));
  EXPECT_EQ(corpus->domains[0].files, 2);
  EXPECT_EQ(corpus->domains[3].train[0].text, ".TH LS 1\n");
  EXPECT_THAT(notes_of(*corpus), HasSubstr("domain \"cmake\" left out: no text"));
  EXPECT_THAT(notes_of(*read_machine_text({.domain_bytes_min = 10}, root.path() + "/")),
              HasSubstr("domain \"python\" left out: 6 bytes of text"));
  EXPECT_FALSE(read_machine_text(kMachineLimits, root.path("etc/")).ok());
}

}  // namespace
}  // namespace agora::train
