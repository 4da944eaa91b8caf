// Where tests find real data: the folder in the environment variable AGORA_DATA, or ../shared/data beside the
// sources.
//
//   const std::string path = real_data("mnist/train-labels-idx1-ubyte.gz");
//   if (path.empty()) GTEST_SKIP() << kNoRealData;
//
// For tests only; any thread.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

namespace agora::train {

constexpr char kNoRealData[] =
    "no real data: set AGORA_DATA to the folder that holds mnist/, vowel/ and text/";

// Empty if it is not there.
inline std::string real_data(const std::string& name) {
  const char* set = ::getenv("AGORA_DATA");
  const std::filesystem::path source =
      std::filesystem::path(__FILE__).parent_path().parent_path().parent_path();
  const std::filesystem::path path =
      (set != nullptr ? std::filesystem::path(set) : source / "../shared/data") / name;
  std::error_code error;
  return std::filesystem::exists(path, error) ? path.string() : std::string();
}

}  // namespace agora::train
