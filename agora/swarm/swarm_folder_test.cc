#include "agora/swarm/swarm_folder.h"

#include <string>

#include "agora/base/test_folder.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::swarm {
namespace {

using testing::HasSubstr;

Manifest example() {
  Manifest manifest;
  manifest.swarm = "some swarm";
  manifest.step = 7;
  manifest.experts = {
      {.name = {LayerId(0), ExpertId(3)}, .sha256 = "ab", .saved_as = ExpertId(2), .learning_rate = 0.5f},
      {.name = {LayerId(1), ExpertId(4)}, .sha256 = "cd", .saved_as = ExpertId(0)}};
  manifest.retired = {{LayerId(1), ExpertId(5)}};
  return manifest;
}

class ManifestTest : public testing::Test {
 protected:
  // What is read of the example with the first `from` replaced.
  StatusOr<Manifest> read_with(const std::string& from, const std::string& to) const {
    std::string text = format_manifest(example());
    text.replace(text.find(from), from.size(), to);
    base::write_text(dir_.path() + kManifestFile, text);
    return read_manifest(dir_.path());
  }
  const base::TestFolder dir_;
};

TEST_F(ManifestTest, ComesBackAsItWasWritten) {
  const auto manifest = read_with("", "");
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(format_manifest(*manifest), format_manifest(example()));
}

// Who reads it takes them for places in tables of layers and experts.
TEST_F(ManifestTest, RefusesNumbersThatNameNoLayerAndNoExpertAndNoRate) {
  for (const auto& [from, to] : {std::pair("\"layer\": 0", "\"layer\": -1"),
                                 {"\"layer\": 0", "\"layer\": 4294967296"},
                                 {"\"expert\": 3", "\"expert\": -3"},
                                 {"\"expert\": 3", "\"expert\": 3.5"},
                                 {"\"expert\": 5", "\"expert\": -5"},
                                 {"\"saved_as\": 2", "\"saved_as\": -2"},
                                 {"\"learning_rate\": 0.5", "\"learning_rate\": 1e99"}}) {
    const Status status = read_with(from, to).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << to;
    EXPECT_THAT(std::string(status.message()), HasSubstr("manifest.json: expected \"")) << to;
  }
}

}  // namespace
}  // namespace agora::swarm
