#include "agora/weights/files.h"

#include "agora/base/test_folder.h"
#include "agora/weights/atomic_file.h"
#include <gmock/gmock.h>

namespace agora::weights {
namespace {

using testing::ElementsAre;
using testing::EndsWith;

// Every host that was killed while it saved an expert left one for ever.
TEST(RealFiles, WhatWasLeftHalfWrittenGoes) {
  base::TestFolder folder;
  for (const char* name : {"0.3.safetensors", "0.3.safetensors.1.7.tmp", "notes.tmp", "7.tmp", "a..1.tmp"}) {
    base::write_text(folder.path(name), "x");
  }
  auto writer = AtomicFile::create(folder.path("0.4.safetensors"));
  ASSERT_TRUE(writer.ok());
  EXPECT_THAT(RealFiles().list(folder.path(""), 100),
              ElementsAre("0.3.safetensors", EndsWith(".tmp"), "7.tmp", "a..1.tmp", "notes.tmp"));
  EXPECT_TRUE((*writer)->commit().ok()) << "it was being written";
  EXPECT_EQ(folder.files(), 5);
}

}  // namespace
}  // namespace agora::weights
