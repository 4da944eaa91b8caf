#include "agora/weights/safetensors.h"

#include <cmath>
#include <limits>

#include "agora/base/test_folder.h"
#include "agora/base/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace agora::weights {
namespace {

using base::TestFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string message(const Status& status) { return std::string(status.message()); }

View<const float> row_of(const std::vector<float>& values) {
  return {values.data(), 1, static_cast<int64_t>(values.size())};
}

// A file with the given header and so many zero bytes of data.
std::string file_with(std::string_view header, size_t data_bytes) {
  std::string file(8, '\0');
  base::store_le<uint64_t>(header.size(), reinterpret_cast<std::byte*>(file.data()));
  return file + std::string(header) + std::string(data_bytes, '\0');
}

Status status_of(std::string_view file) {
  const auto parsed = SafetensorsFile::parse(base::as_bytes(file), "x.safetensors");
  return parsed.ok() ? (*parsed)->verify() : parsed.status();
}

void write_small_file(const std::string& path) {
  const std::vector<TensorSpec> specs = {{"norm", DType::f32, {3}}, {"proj.weight", DType::bf16, {2, 2}}};
  auto writer = SafetensorsWriter::create(path, specs, {{"format", "pt"}});
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE((*writer)->add("norm", row_of({1.0f, -2.5f, 3.25f})).ok());
  const std::vector<float> square = {1, 2, 3, 4};
  ASSERT_TRUE((*writer)->add("proj.weight", {square.data(), 2, 2}).ok());
  ASSERT_TRUE((*writer)->finish().ok());
}

TEST(Safetensors, WhatIsWrittenIsRead) {
  TestFolder folder;
  write_small_file(folder.path("m.safetensors"));
  const auto file = SafetensorsFile::open(folder.path("m.safetensors"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE((*file)->has_hashes());
  EXPECT_TRUE((*file)->verify().ok());
  EXPECT_EQ((*file)->metadata().at("format"), "pt");
  EXPECT_EQ((*file)->find("missing"), nullptr);

  const TensorRef* norm = (*file)->find("norm");
  ASSERT_NE(norm, nullptr);
  EXPECT_EQ(norm->count(), 3);
  std::vector<float> values(3);
  ASSERT_TRUE(read_f32(*norm, {values.data(), 1, 3}).ok());
  EXPECT_THAT(values, ElementsAre(1.0f, -2.5f, 3.25f));
  std::vector<float> square(4);
  ASSERT_TRUE(read_f32(*(*file)->find("proj.weight"), {square.data(), 2, 2}).ok());
  EXPECT_THAT(square, ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(folder.files(), 1);
}

TEST(Safetensors, AnUnfinishedFileNeverAppears) {
  TestFolder folder;
  {
    auto writer = SafetensorsWriter::create(folder.path("m"), {{"a", DType::f32, {1}}});
    ASSERT_TRUE((*writer)->add("a", row_of({1.0f})).ok());
  }
  EXPECT_EQ(folder.files(), 0);
}

TEST(Safetensors, StridedRowsScalarsEmptyTensorsAndLongRows) {
  TestFolder folder;
  std::vector<float> grid(6);
  for (size_t i = 0; i < grid.size(); ++i) grid[i] = static_cast<float>(i);
  std::vector<float> longer(20'001);
  for (size_t i = 0; i < longer.size(); ++i) longer[i] = static_cast<float>(i % 128);
  const std::vector<TensorSpec> specs = {{"left", DType::f32, {2, 2}},
                                         {"one", DType::f64, {}},
                                         {"none", DType::f32, {0, 7}},
                                         {"long", DType::f16, {20'001}},
                                         {"count", DType::i64, {1}}};
  auto writer = SafetensorsWriter::create(folder.path("m"), specs);
  ASSERT_TRUE((*writer)->add("left", View<const float>(grid.data(), 2, 2, 3)).ok());
  const double pi = 3.140625;
  ASSERT_TRUE((*writer)->add_bytes("one", std::as_bytes(std::span(&pi, 1))).ok());
  ASSERT_TRUE((*writer)->add("none", View<const float>(nullptr, 0, 7)).ok());
  ASSERT_TRUE((*writer)->add("long", row_of(longer)).ok());
  const int64_t count = 42;
  ASSERT_TRUE((*writer)->add_bytes("count", std::as_bytes(std::span(&count, 1))).ok());
  ASSERT_TRUE((*writer)->finish().ok());

  const auto file = SafetensorsFile::open(folder.path("m"));
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->verify().ok()) << (*file)->verify();
  std::vector<float> out(4);
  ASSERT_TRUE(read_f32(*(*file)->find("left"), {out.data(), 2, 2}).ok());
  EXPECT_THAT(out, ElementsAre(0, 1, 3, 4));
  ASSERT_TRUE(read_f32(*(*file)->find("one"), {out.data(), 1, 1}).ok());
  EXPECT_EQ(out[0], 3.140625f);
  EXPECT_TRUE(read_f32(*(*file)->find("none"), {nullptr, 0, 7}).ok());
  std::vector<float> again(longer.size());
  ASSERT_TRUE(read_f32(*(*file)->find("long"), {again.data(), 1, 20'001}).ok());
  EXPECT_EQ(again, longer);
  EXPECT_THAT(message(read_f32(*(*file)->find("count"), {out.data(), 1, 1})),
              HasSubstr("dtype I64, expected F32"));
}

TEST(Safetensors, ReadsFilesFromElsewhereWithoutHashes) {
  const std::string file = file_with(R"({"b":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]},)"
                                     R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}   )",
                                     8);
  const auto parsed = SafetensorsFile::parse(base::as_bytes(file), "x");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_FALSE((*parsed)->has_hashes());
  EXPECT_TRUE((*parsed)->verify().ok());
  EXPECT_EQ((*parsed)->tensors()[0].name, "a");
  EXPECT_TRUE(status_of(file_with("{}", 0)).ok());
}

TEST(Safetensors, OthersMayHaveKeysLikeOurHashes) {
  const std::string file =
      file_with(R"({"__metadata__":{"sha256sum":"of the training data","sha256_of":"x"},)"
                R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                4);
  const auto parsed = SafetensorsFile::parse(base::as_bytes(file), "x");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_FALSE((*parsed)->has_hashes());
  EXPECT_TRUE((*parsed)->verify().ok());
}

TEST(Safetensors, TypesThatNothingHereReadsAreListed) {
  const std::pair<const char*, int64_t> types[] = {{"U16", 2},     {"U32", 4},     {"U64", 8},
                                                   {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1}};
  for (const auto& [name, size] : types) {
    const std::string file = file_with(
        base::concat(R"({"a":{"dtype":")", name, R"(","shape":[3],"data_offsets":[0,)", 3 * size, "]}}"),
        static_cast<size_t>(3 * size));
    const auto parsed = SafetensorsFile::parse(base::as_bytes(file), "x");
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    const TensorRef& tensor = (*parsed)->tensors()[0];
    EXPECT_EQ(tensor::name_of(tensor.dtype), name);
    EXPECT_EQ(tensor.count(), 3);
    std::vector<float> out(3);
    EXPECT_THAT(message(read_f32(tensor, {out.data(), 1, 3})),
                HasSubstr(base::concat("tensor \"a\" has dtype ", name, ", expected F32")));
  }
}

TEST(Safetensors, AWrongShapeIsNamed) {
  TestFolder folder;
  write_small_file(folder.path("m"));
  const auto file = SafetensorsFile::open(folder.path("m"));
  std::vector<float> out(8);
  const Status status = read_f32(*(*file)->find("proj.weight"), {out.data(), 4, 1});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(message(status), HasSubstr("tensor \"proj.weight\" has shape [2, 2], expected [4, 1]"));
}

TEST(Safetensors, NotANumberIsRefusedByName) {
  TestFolder folder;
  auto writer = SafetensorsWriter::create(folder.path("m"), {{"bad", DType::bf16, {4}}});
  ASSERT_TRUE((*writer)->add("bad", row_of({1, 2, std::numeric_limits<float>::quiet_NaN(), 4})).ok());
  ASSERT_TRUE((*writer)->finish().ok());
  const auto file = SafetensorsFile::open(folder.path("m"));
  std::vector<float> out(4);
  const Status status = read_f32(*(*file)->find("bad"), {out.data(), 1, 4});
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(message(status), HasSubstr("tensor \"bad\" holds nan at element 2"));
  EXPECT_TRUE(read_f32(*(*file)->find("bad"), {out.data(), 1, 4}, NonFinite::accept).ok());
  EXPECT_TRUE(std::isnan(out[2]));
}

TEST(Safetensors, EveryTornFileIsRefused) {
  TestFolder folder;
  write_small_file(folder.path("m"));
  const std::string whole = read_file(folder.path("m"), 1 << 20).value();
  ASSERT_TRUE(status_of(whole).ok());
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(status_of(whole.substr(0, size)).ok()) << size;
  const Status torn = status_of(whole.substr(0, whole.size() - 3));
  EXPECT_EQ(torn.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(message(torn), HasSubstr("x.safetensors: tensor \"proj.weight\" needs the bytes 12 to 20"));
  EXPECT_FALSE(status_of(whole + "x").ok());
}

// One changed byte anywhere is found, or is white space of the header, which carries nothing.
TEST(Safetensors, EveryAlteredByteIsFound) {
  TestFolder folder;
  write_small_file(folder.path("m"));
  const std::string whole = read_file(folder.path("m"), 1 << 20).value();
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const char mask : {'\x01', '\x04', '\x20', '\x80'}) {
      std::string altered = whole;
      altered[i] ^= mask;
      if (whole[i] == ' ' && altered[i] == '\n') continue;
      EXPECT_FALSE(status_of(altered).ok()) << "byte " << i << " mask " << static_cast<int>(mask);
    }
  }
  std::string altered = whole;
  altered.back() ^= 1;
  EXPECT_EQ(status_of(altered).code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(message(status_of(altered)), HasSubstr("tensor \"proj.weight\" is not what was written"));
}

TEST(Safetensors, WriterRefusesNamesThatCanNotBeStored) {
  TestFolder folder;
  EXPECT_FALSE(
      SafetensorsWriter::create(folder.path("m"), {{"a", DType::f32, {1}}, {"a", DType::f32, {1}}}).ok());
  EXPECT_FALSE(SafetensorsWriter::create(folder.path("m"), {{"\xff", DType::f32, {1}}}).ok());
  const std::vector<TensorSpec> own = {{"__metadata__", DType::f32, {1}}};
  EXPECT_TRUE(absl::IsInvalidArgument(SafetensorsWriter::create(folder.path("m"), own).status()));
  const std::vector<float> one = {1};
  const std::vector<std::span<const float>> values = {one};
  EXPECT_TRUE(absl::IsInvalidArgument(safetensors_bytes(own, values, {}).status()));
  EXPECT_EQ(folder.files(), 0);
}

struct Hostile {
  const char* what;
  std::string file;
  const char* message;
};

class HostileHeader : public ::testing::TestWithParam<Hostile> {};

TEST_P(HostileHeader, IsRefusedWithAReason) {
  const Status status = status_of(GetParam().file);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(message(status), HasSubstr(GetParam().message));
  EXPECT_THAT(message(status), HasSubstr("x.safetensors"));
}

std::string repeated(std::string_view part, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += part;
  return text;
}

const std::vector<Hostile>& hostile_files() {
  static const std::vector<Hostile> files = {
      {"empty", "", "at least 8 bytes"},
      {"length_only", std::string(8, '\0'), "not JSON"},
      {"huge_length", std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10), "the limit is"},
      {"length_beyond_file", std::string("\x20\0\0\0\0\0\0\0{}", 10), "cut short"},
      {"not_json", file_with("hello", 0), "not JSON"},
      {"not_an_object", file_with("[]", 0), "a list where"},
      {"zero_byte", file_with(std::string_view("{}\0\0", 4), 0), "zero byte"},
      {"trailing_text", file_with("{} {}", 0), "not JSON"},
      {"deep_nesting", file_with("{\"a\":" + repeated("[", 100'000), 0), "a list where"},
      {"deep_objects", file_with(repeated("{\"a\":", 100'000), 0), "an object where"},
      {"number_for_tensor", file_with(R"({"a":1})", 0), "1 where the format has none, at \"a\""},
      {"unknown_dtype", file_with(R"({"a":{"dtype":"F8","shape":[],"data_offsets":[0,1]}})", 1),
       "dtype \"F8\""},
      {"missing_offsets", file_with(R"({"a":{"dtype":"F32","shape":[1]}})", 4), "is missing"},
      {"three_offsets", file_with(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", 1),
       "two numbers"},
      {"negative", file_with(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1), "-1 where"},
      {"fraction", file_with(R"({"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}})", 1), "1.5 where"},
      {"overflow",
       file_with(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0),
       "too large"},
      {"number_over_64_bits",
       file_with(R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,1]}})", 1), "where"},
      {"rank", file_with(R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1),
       "more than 8"},
      {"size_mismatch", file_with(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4),
       "needs 8 bytes"},
      {"backwards", file_with(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})", 1),
       "data_offsets are 1 to 0"},
      {"overlap",
       file_with(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                 R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                 3),
       "inside the tensor before"},
      {"hole", file_with(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2), "after a gap"},
      {"bytes_left", file_with(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 2),
       "1 bytes follow"},
      {"beyond_the_end", file_with(R"({"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}})", 2),
       "cut short"},
      {"duplicate_tensor",
       file_with(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                 R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                 1),
       "appears twice"},
      {"duplicate_field",
       file_with(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1), "twice"},
      {"metadata_number", file_with(R"({"__metadata__":{"a":1}})", 0), "1 where"},
      {"long_name", file_with("{\"" + std::string(2000, 'n') + "\":{}}", 0), "the limit is 1024"},
      {"hash_missing",
       file_with(R"({"__metadata__":{"sha256":"00"},)"
                 R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                 1),
       "\"a\" has no hash"},
  };
  return files;
}

INSTANTIATE_TEST_SUITE_P(Safetensors, HostileHeader, ::testing::ValuesIn(hostile_files()),
                         [](const auto& info) { return std::string(info.param.what); });

TEST(Safetensors, BytesAreWhatTheWriterWrites) {
  TestFolder folder;
  const std::vector<TensorSpec> specs = {{"a", DType::f32, {2, 3}}, {"b", DType::f32, {2}}};
  const std::vector<float> a = {1, 2, 3, 4, 5, 6}, b = {7, 8};
  const std::vector<std::span<const float>> values = {a, b};
  auto bytes = safetensors_bytes(specs, values, {{"key", "value"}});
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  auto writer = SafetensorsWriter::create(folder.path("x"), specs, {{"key", "value"}});
  ASSERT_TRUE((*writer)->add("a", {a.data(), 2, 3}).ok());
  ASSERT_TRUE((*writer)->add("b", {b.data(), 1, 2}).ok());
  ASSERT_TRUE((*writer)->finish().ok());
  EXPECT_EQ(*read_file(folder.path("x"), 1 << 20), base::as_text(*bytes));
  EXPECT_TRUE((*SafetensorsFile::parse(*bytes, "bytes"))->verify().ok());
}

}  // namespace
}  // namespace agora::weights
