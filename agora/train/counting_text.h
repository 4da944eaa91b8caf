// A file of text that tests learn from: every seventh number from 0 on, written out. Every machine has it.
//
//   CountingText text;   options.data = text.file();      // gone with the object
//
// For tests only; one thread.
#pragma once

#include <string>

#include "absl/strings/str_cat.h"
#include "agora/base/test_folder.h"

namespace agora::train {

class CountingText {
 public:
  CountingText() {
    std::string numbers;
    for (int i = 0; i < 4000; ++i) absl::StrAppend(&numbers, i * 7, i % 9 == 8 ? "\n" : " ");
    base::write_text(file(), numbers);
  }

  std::string file() const { return folder_.path("numbers.txt"); }

 private:
  base::TestFolder folder_;
};

}  // namespace agora::train
