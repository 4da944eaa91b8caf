#include "agora/train/idx.h"

#include <zlib.h>

#include "agora/base/test_folder.h"
#include "agora/train/test_data.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace agora::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using base::TestFolder;
using base::write_text;

std::string idx(std::string_view dimensions, std::string_view values) {
  std::string bytes = std::string("\0\0\x08", 3) + static_cast<char>(dimensions.size());
  for (const char d : dimensions) bytes += std::string(3, '\0') + d;
  return bytes + std::string(values);
}

std::string message(std::string_view bytes) {
  return std::string(parse_idx(base::as_bytes(bytes), "x.idx").status().message());
}

TEST(Idx, ReadsPlainAndGzip) {
  TestFolder folder;
  const std::string bytes = idx("\x02\x03", "abcdef");
  write_text(folder.path("plain"), bytes);
  gzFile out = ::gzopen(folder.path("packed.gz").c_str(), "wb");
  ASSERT_EQ(::gzwrite(out, bytes.data(), static_cast<unsigned>(bytes.size())),
            static_cast<int>(bytes.size()));
  ::gzclose(out);
  for (const char* name : {"plain", "packed.gz"}) {
    const auto array = read_idx(folder.path(name));
    ASSERT_TRUE(array.ok()) << array.status();
    EXPECT_THAT(array->shape, ElementsAre(2, 3));
    EXPECT_THAT(array->values, ElementsAre('a', 'b', 'c', 'd', 'e', 'f'));
  }
}

TEST(Idx, RefusesWithTheReason) {
  EXPECT_THAT(message(""), HasSubstr("x.idx: this is not an IDX file"));
  EXPECT_THAT(message("PNG image"), HasSubstr("not an IDX file"));
  EXPECT_THAT(message(std::string_view("\0\0\x0d\x01\0\0\0\x01\0\0\0\0", 12)), HasSubstr("it has type 13"));
  EXPECT_THAT(message(std::string_view("\0\0\x08\0", 4)), HasSubstr("dimensions"));
  EXPECT_THAT(message(std::string_view("\0\0\x08\xff", 4)), HasSubstr("dimensions"));
  EXPECT_THAT(message(std::string_view("\0\0\x08\x02\0\0\0\x02", 8)), HasSubstr("cut short"));
  EXPECT_THAT(message(idx("\x02\x03", "abcde")), HasSubstr("[2, 3] need 6 bytes, 5 follow"));
  EXPECT_THAT(message(idx("\x02\x03", "abcdefg")), HasSubstr("7 follow"));
  std::string huge = std::string("\0\0\x08\x08", 4) + std::string(32, '\xff');
  EXPECT_THAT(message(huge), HasSubstr("too large"));
}

TEST(Idx, ADamagedFileIsNamed) {
  TestFolder folder;
  write_text(folder.path("long"), idx("\x01", "ab"));
  EXPECT_THAT(std::string(read_idx(folder.path("long")).status().message()), HasSubstr("long: more bytes"));
  gzFile out = ::gzopen(folder.path("x.gz").c_str(), "wb");
  const std::string bytes = idx("\x7f", std::string(127, 'v'));
  ::gzwrite(out, bytes.data(), static_cast<unsigned>(bytes.size()));
  ::gzclose(out);
  std::filesystem::resize_file(folder.path("x.gz"), std::filesystem::file_size(folder.path("x.gz")) - 6);
  EXPECT_EQ(read_idx(folder.path("x.gz")).status().code(), absl::StatusCode::kDataLoss);
}

TEST(Idx, ReadsMnist) {
  const std::string images = real_data("mnist/t10k-images-idx3-ubyte.gz");
  const std::string labels = real_data("mnist/t10k-labels-idx1-ubyte.gz");
  if (images.empty() || labels.empty()) GTEST_SKIP() << kNoRealData;
  const auto pixels = read_idx(images);
  const auto digits = read_idx(labels);
  ASSERT_TRUE(pixels.ok() && digits.ok()) << pixels.status() << digits.status();
  EXPECT_EQ(pixels->shape.size(), 3u);
  EXPECT_EQ(pixels->shape[0], digits->shape[0]);
  EXPECT_EQ(pixels->shape[1], 28);
  EXPECT_EQ(digits->values[0], 7);
}

}  // namespace
}  // namespace agora::train
