// A file of text that tests learn from: every seventh number from 0 on, written out. Every machine has it.
//
//   CountingText text;   options.data = text.file();      // gone with the object; one for each test
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace agora::tests {

class CountingText {
 public:
  CountingText() {
    const testing::TestInfo& test = *testing::UnitTest::GetInstance()->current_test_info();
    const std::string name = std::string(test.test_suite_name()) + "-" + test.name() + ".txt";
    file_ = std::filesystem::path(testing::TempDir()) / name;
    std::ofstream out(file_);
    for (int i = 0; i < 4000; ++i) out << i * 7 << (i % 9 == 8 ? "\n" : " ");
  }
  ~CountingText() {
    std::error_code ignored;
    std::filesystem::remove(file_, ignored);
  }
  CountingText(const CountingText&) = delete;
  CountingText& operator=(const CountingText&) = delete;

  std::string file() const { return file_.string(); }

 private:
  std::filesystem::path file_;
};

}  // namespace agora::tests
