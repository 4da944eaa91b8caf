#include "agora/weights/weight_folder.h"

#include <filesystem>

#include "agora/base/test_folder.h"
#include "agora/base/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace agora::weights {
namespace {

using base::TestFolder;
using base::write_text;
using ::testing::HasSubstr;

std::string message(const Status& status) { return std::string(status.message()); }

const std::vector<TensorSpec> kSpecs = {
    {"a", DType::f32, {2}}, {"b", DType::f32, {1, 2}}, {"c", DType::f32, {2}}, {"d", DType::bf16, {2}}};

Status write_model(const std::string& dir, int64_t shard_bytes_max) {
  AGORA_ASSIGN_OR_RETURN(auto writer,
                         WeightFolderWriter::create(dir, kSpecs, shard_bytes_max, {{"format", "pt"}}));
  float value = 1;
  for (const TensorSpec& spec : kSpecs) {
    const float values[2] = {value, -value};
    AGORA_RETURN_IF_ERROR(writer->add(spec.name, {values, 1, 2}));
    value += 1;
  }
  return writer->finish();
}

float first_of(const WeightFolder& folder, std::string_view name) {
  float out[2] = {};
  const TensorRef* tensor = folder.find(name);
  EXPECT_TRUE(tensor != nullptr && read_f32(*tensor, {out, 1, 2}).ok());
  return out[0];
}

TEST(WeightFolder, OneFileOrShardsReadTheSame) {
  for (const int64_t limit : {int64_t{1000}, int64_t{16}, int64_t{1}}) {
    TestFolder dir;
    ASSERT_TRUE(write_model(dir.path(), limit).ok());
    const auto folder = WeightFolder::open(dir.path());
    ASSERT_TRUE(folder.ok()) << folder.status();
    EXPECT_TRUE((*folder)->verify().ok());
    EXPECT_EQ((*folder)->files().size(), limit == 1000 ? 1u : limit == 16 ? 2u : 4u);
    EXPECT_EQ((*folder)->tensors().size(), 4u);
    EXPECT_EQ(first_of(**folder, "a"), 1);
    EXPECT_EQ(first_of(**folder, "d"), 4);
    EXPECT_THAT(message((*folder)->need("e").status()), HasSubstr("tensor \"e\" is missing"));
  }
}

// As many as the largest open models have experts' tensors: what looks each name up among those before it
// does not come to an end.
TEST(WeightFolder, HoldsVeryManyTensors) {
  constexpr int64_t kTensors = 100'000;
  TestFolder dir;
  std::vector<TensorSpec> specs;
  for (int64_t i = 0; i < kTensors; ++i) {
    specs.push_back({base::concat("model.layers.0.mlp.experts.", i, ".weight"), DType::u8, {1}});
  }
  const auto writer = WeightFolderWriter::create(dir.path(), specs, kTensors / 2);
  ASSERT_TRUE(writer.ok()) << writer.status();
  const std::byte value{7};
  for (const TensorSpec& spec : specs) ASSERT_TRUE((*writer)->add_bytes(spec.name, {&value, 1}).ok());
  ASSERT_TRUE((*writer)->finish().ok());
  const auto folder = WeightFolder::open(dir.path());
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ((*folder)->files().size(), 2u);
  EXPECT_EQ(std::ssize((*folder)->tensors()), kTensors);
  EXPECT_TRUE((*folder)->verify().ok());
}

TEST(WeightFolder, ASmallerModelReplacesALargerOne) {
  TestFolder dir;
  ASSERT_TRUE(write_model(dir.path(), 1).ok());
  ASSERT_TRUE(write_model(dir.path(), 1000).ok());
  EXPECT_EQ(WeightFolder::open(dir.path()).value()->files().size(), 1u);
}

TEST(WeightFolder, AnAlteredShardIsFoundByTensor) {
  TestFolder dir;
  ASSERT_TRUE(write_model(dir.path(), 16).ok());
  const std::string shard = dir.path("model-00002-of-00002.safetensors");
  std::string bytes = read_file(shard, 1 << 20).value();
  bytes.back() ^= 1;
  write_text(shard, bytes);
  const Status status = WeightFolder::open(dir.path()).value()->verify();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(message(status), HasSubstr("00002-of-00002.safetensors: tensor \"d\""));
}

TEST(WeightFolder, MissingFilesAreNamed) {
  TestFolder dir;
  EXPECT_THAT(message(WeightFolder::open(dir.path()).status()), HasSubstr("expected model.safetensors"));
  ASSERT_TRUE(write_model(dir.path(), 16).ok());
  std::filesystem::remove(dir.path("model-00001-of-00002.safetensors"));
  EXPECT_THAT(message(WeightFolder::open(dir.path()).status()),
              HasSubstr("00001-of-00002.safetensors: No such"));
}

TEST(WeightFolder, RefusesAnIndexThatLeadsElsewhereOrLies) {
  TestFolder dir;
  ASSERT_TRUE(write_model(dir.path(), 1000).ok());
  const auto with_index = [&](std::string_view text) {
    write_text(dir.path("model.safetensors.index.json"), text);
    return message(WeightFolder::open(dir.path()).status());
  };
  EXPECT_THAT(with_index(R"({"weight_map":{"a":"../model.safetensors"}})"), HasSubstr("same folder"));
  EXPECT_THAT(with_index(R"({"weight_map":{"a":"/etc/passwd"}})"), HasSubstr("same folder"));
  EXPECT_THAT(with_index(R"({"weight_map":{"a":""}})"), HasSubstr("same folder"));
  EXPECT_THAT(with_index(R"({"weight_map":{"a":7}})"), HasSubstr("same folder"));
  EXPECT_THAT(with_index(R"({"weight_map":{"a":"x\u0000"}})"), HasSubstr("same folder"));
  EXPECT_THAT(with_index(R"({"weight_map":[]})"), HasSubstr("expected an object"));
  EXPECT_THAT(with_index(R"({"weight_map":{}})"), HasSubstr("empty"));
  EXPECT_THAT(with_index("[1"), HasSubstr("not usable JSON"));
  EXPECT_THAT(with_index(R"({"weight_map":{"z":"model.safetensors"}})"), HasSubstr("tensor \"z\" is in"));
}

}  // namespace
}  // namespace agora::weights
