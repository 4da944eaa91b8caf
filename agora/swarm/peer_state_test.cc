#include "agora/swarm/peer_state.h"

#include <map>

#include "agora/base/rng.h"
#include "agora/peers/directory/record.h"
#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

namespace agora::swarm {
namespace {

struct Said {
  bool leads;
  uint32_t epoch;
  uint64_t version;
  int load;  // below 0: not told
};

std::map<std::pair<int32_t, int32_t>, Said> by_expert(const PeerState& state) {
  std::map<std::pair<int32_t, int32_t>, Said> experts;
  for (const HeldRange& r : state.held) {
    for (int32_t e = r.first; e < r.first + r.count; ++e) {
      const Said said{r.leads, r.epoch, r.version, load_at(r, e - r.first)};
      EXPECT_TRUE(experts.insert({{r.layer.value, e}, said}).second);
    }
  }
  return experts;
}

// What comes back names the same experts in the same roles, with versions no higher and epochs no lower, and
// with their own loads or none.
void expect_said(const PeerState& state) {
  const std::string body = encode(state);
  EXPECT_LE(body.size(), peers::kRecordBodyBytesMax);
  const auto read = decode_peer_state(body);
  ASSERT_TRUE(read.ok()) << read.status();
  const auto meant = by_expert(state), said = by_expert(*read);
  EXPECT_EQ(said.size() == meant.size(), fits(state));
  for (const auto& [name, expert] : said) {
    const auto found = meant.find(name);
    ASSERT_TRUE(found != meant.end());
    EXPECT_EQ(expert.leads, found->second.leads);
    EXPECT_LE(expert.version, found->second.version);
    EXPECT_GE(expert.epoch, found->second.epoch);
    EXPECT_TRUE(expert.load < 0 || expert.load == found->second.load);
  }
}

TEST(PeerState, ComesBackWhole) {
  PeerState state{
      .host = true,
      .trainer = true,
      .held = {{LayerId{0}, 3, 4, true, 2, 100, {1, 2, 3, 255}},
               {LayerId{0}, 7, 1, false, 1, 99, {8}},
               {LayerId{5}, 0, 128, false, 7, uint64_t{1} << 60, {}}},
      .retired = {{LayerId{1}, 9, 2}},
      .newcomers = {{LayerId{0}, ExpertId{300}, ExpertId{7}}, {LayerId{2}, ExpertId{9}, ExpertId{0}}},
      .room = 12,
      .load_us = 4'000'000'000,
      .step = UINT64_MAX,
      .trunk_version = 3,
      .trunk_rows = uint64_t{1} << 50,
      .loss = 2.5f,
      .rows_per_s = 1e6f,
      .http_port = 9090};
  EXPECT_EQ(*decode_peer_state(encode(state)), state);
  EXPECT_EQ(*decode_peer_state(encode(PeerState{})), PeerState{});
}

TEST(PeerState, LoadsAreWithinFivePercent) {
  for (double rows = 1; rows < 1e9; rows *= 1.7)
    EXPECT_NEAR(rows_per_s_of(load_of(rows)) / rows, 1, 0.1) << rows;
  EXPECT_EQ(load_of(0), 0);
  EXPECT_EQ(rows_per_s_of(0), 0);
  EXPECT_EQ(load_of(1e30), 255);
}

// Hosts need their record's bytes for what they hold.
TEST(PeerState, OnlyWhoHasATrunkSaysWhatItLearnedFrom) {
  EXPECT_EQ(encode({.host = true, .trunk_rows = 1'000'000}), encode({.host = true}));
  EXPECT_NE(encode({.server = true, .trunk_rows = 1'000'000}), encode({.server = true}));
}

TEST(PeerState, AThousandExpertsInARowCostAFewBytes) {
  const PeerState state{.host = true, .held = {{LayerId{0}, 0, 1000, true, 1, 12345, {}}}};
  EXPECT_LT(encode(state).size(), 40u);
}

TEST(PeerState, VersionsGoFirstThenLoads) {
  PeerState state{.host = true};
  for (int32_t e = 0; e < 300; ++e) {
    state.held.push_back({LayerId{0}, e, 1, true, 1, 1000u + e, {static_cast<uint8_t>(e)}});
  }
  expect_said(state);
  const PeerState merged = *decode_peer_state(encode(state));
  EXPECT_GT(merged.held.size(), 10u);  // no coarser than needed
  EXPECT_LT(merged.held.size(), 300u);
  for (const HeldRange& range : merged.held) EXPECT_FALSE(range.loads.empty());

  state.held = {{LayerId{0}, 0, 800, true, 1, 5, std::vector<uint8_t>(800, 16)}};
  expect_said(state);
  const PeerState untold = *decode_peer_state(encode(state));
  EXPECT_THAT(untold.held, testing::ElementsAre(HeldRange{LayerId{0}, 0, 800, true, 1, 5, {}}));
}

// Gates balance by them, and one host that does not tell is a hole in what the others do.
TEST(PeerState, AHostOfManyExpertsTellsTheLoadOfEach) {
  for (const int32_t per_layer : {12, 14, 32, 62}) {
    PeerState state{.host = true, .room = 500, .load_us = 3000, .step = 100'000, .rows_per_s = 1};
    for (int32_t layer = 0; layer < 8; ++layer) {
      for (int32_t e = 0; e < per_layer; ++e) {  // scattered, in two roles, each with its own version
        state.held.push_back({LayerId{layer},
                              2 * e,
                              1,
                              e % 3 == 0,
                              1u + e % 2,
                              3000u + 17 * e % 211,
                              {static_cast<uint8_t>(40 + e)}});
      }
    }
    expect_said(state);
    const auto read = decode_peer_state(encode(state));
    ASSERT_TRUE(read.ok()) << read.status();
    for (const auto& [name, expert] : by_expert(*read)) {
      EXPECT_EQ(expert.load, 40 + name.second / 2) << per_layer << " a layer";
    }
  }
}

TEST(PeerState, AThousandScatteredExpertsFit) {
  Rng rng(3);
  PeerState state{.host = true};
  std::vector<int32_t> numbers(4096);
  for (int32_t i = 0; i < 4096; ++i) numbers[i] = i;
  for (int32_t i = 0; i < 1000; ++i) std::swap(numbers[i], numbers[i + rng.below(4096 - i)]);
  std::sort(numbers.begin(), numbers.begin() + 1000);
  for (int32_t i = 0; i < 1000; ++i) {
    state.held.push_back(
        {LayerId{2}, numbers[i], 1, rng.below(2) == 0, 1 + rng.below(3), rng.below(5000), {}});
  }
  expect_said(state);
  EXPECT_TRUE(fits(state));
}

TEST(PeerState, SaysWhenItDoesNotFit) {
  PeerState state{.host = true};
  for (int32_t layer = 0; layer < 200; ++layer) {
    for (int32_t e = layer % 7; e < 60; e += 7)
      state.held.push_back({LayerId{layer}, e, 1, e % 2 == 0, 1, 1, {}});
  }
  EXPECT_FALSE(fits(state));
  const auto read = decode_peer_state(encode(state));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_GT(read->held.size(), 100u);
}

TEST(PeerState, NewcomersTakeNoPlaceOfWhatIsHeld) {
  PeerState state{.host = true};
  for (int32_t layer = 0; layer < 80; ++layer) {
    for (int32_t e = 0; e < 8; e += 2) state.held.push_back({LayerId{layer}, e, 1, true, 1, 1, {}});
  }
  const std::string alone = encode(state);
  for (int64_t e = 0; e < 64; ++e) {
    state.newcomers.push_back({LayerId{0}, ExpertId{300 + e}, ExpertId{7}});
  }
  EXPECT_TRUE(fits(state));
  EXPECT_EQ(encode(state), alone);
  state.held.resize(8);
  EXPECT_EQ(decode_peer_state(encode(state))->newcomers.size(), 64u);
}

TEST(PeerState, CutBytesAreRefused) {
  const PeerState state{
      .host = true, .held = {{LayerId{0}, 3, 2, true, 2, 100, {1, 2}}}, .retired = {{LayerId{0}, 1, 1}}};
  const std::string body = encode(state);
  for (size_t n = 0; n < body.size(); ++n) EXPECT_FALSE(decode_peer_state(body.substr(0, n)).ok()) << n;
  EXPECT_FALSE(decode_peer_state(body + '\0').ok());
  EXPECT_FALSE(decode_peer_state(std::string(769, '\1')).ok());
}

RC_GTEST_PROP(PeerStateProperty, ComesBackOrCoarser, (uint32_t seed)) {
  Rng rng(seed);
  PeerState state{.host = true, .room = static_cast<int32_t>(rng.below(1000))};
  const uint32_t layers = 1 + rng.below(4), gap = 1 + rng.below(12), longest = 1 + rng.below(40);
  const uint32_t until = rng.below(800);
  for (uint32_t layer = 0; layer < layers; ++layer) {
    for (uint32_t e = rng.below(gap); e < until;) {
      HeldRange range{LayerId{static_cast<int64_t>(layer)},
                      static_cast<int32_t>(e),
                      static_cast<int32_t>(1 + rng.below(longest)),
                      rng.below(2) == 0,
                      1 + rng.below(3),
                      rng.next_u64() >> rng.below(64),
                      {}};
      const uint32_t loads = rng.below(3);
      if (loads > 0) range.loads.assign(loads == 1 ? 1 : range.count, static_cast<uint8_t>(rng.below(256)));
      e += static_cast<uint32_t>(range.count) + rng.below(gap);
      state.held.push_back(std::move(range));
    }
  }
  expect_said(state);
}

RC_GTEST_PROP(PeerStateProperty, AnyBytesAreReadOrRefused, (const std::string& bytes)) {
  const auto read = decode_peer_state("\1\1" + bytes);
  if (!read.ok()) return;
  const auto again = decode_peer_state(encode(*read));
  RC_ASSERT(again.ok());
}

}  // namespace
}  // namespace agora::swarm
