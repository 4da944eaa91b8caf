// Images for tests: IDX files as make_image_task() reads them.
//
//   TestFolder folder;   write_images(folder.path(), {0, 4}, {3, 0});   options.data = folder.path();
//
// For tests only; any thread.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "agora/base/test_folder.h"

namespace agora::train {

// An image of 2 x 2 pixels for each label of the training and of the test part.
inline void write_images(const std::string& dir, const std::vector<char>& train,
                         const std::vector<char>& test) {
  const auto idx = [](const std::vector<char>& dimensions, const std::string& values) {
    std::string bytes = std::string("\0\0\x08", 3) + static_cast<char>(dimensions.size());
    for (const char d : dimensions) bytes += std::string(3, '\0') + d;
    return bytes + values;
  };
  for (const auto& [part, labels] : {std::pair{"/train", &train}, std::pair{"/t10k", &test}}) {
    const auto n = static_cast<char>(labels->size());
    std::string pixels(4 * labels->size(), 'a');
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] += static_cast<char>(i);
    base::write_text(dir + part + "-images-idx3-ubyte", idx({n, 2, 2}, pixels));
    base::write_text(dir + part + "-labels-idx1-ubyte", idx({n}, {labels->begin(), labels->end()}));
  }
}

}  // namespace agora::train
