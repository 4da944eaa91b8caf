#include "agora/swarm/finder/finder.h"

#include <string>

#include "agora/base/virtual_loop.h"
#include "agora/swarm/peer_state.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/swarm/fixed_directory.h"

namespace agora::swarm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

peers::PeerId peer(int n) {
  peers::PeerId id;
  id.bytes[0] = static_cast<std::byte>(n);
  return id;
}

class FinderTest : public testing::Test {
 protected:
  FinderTest() { loop_.run_for(0); }

  // Experts first .. first + count - 1 of layer 0.
  void say(int host, int32_t first, int32_t count, bool leads, std::vector<uint8_t> loads = {},
           uint32_t epoch = 1) {
    PeerState state;
    state.host = true;
    state.held.push_back({.layer = LayerId(0),
                          .first = first,
                          .count = count,
                          .leads = leads,
                          .epoch = epoch,
                          .loads = loads});
    directory_.say(peer(host), {"host", static_cast<uint16_t>(host)}, state);
  }
  std::vector<peers::PeerId> hosts_of(int32_t expert) {
    std::vector<peers::PeerId> hosts;
    for (const Candidate& c : finder_.candidates({LayerId(0), ExpertId(expert)})) hosts.push_back(c.peer);
    std::sort(hosts.begin(), hosts.end());
    return hosts;
  }

  static SwarmSpec spec() {
    SwarmSpec spec;
    spec.layers = 2;
    spec.experts = spec.experts_max = 8;
    return spec;
  }

  base::VirtualLoop loop_;
  tests::FixedDirectory directory_;
  Finder finder_{loop_, directory_, spec(), Rng(1)};
};

TEST_F(FinderTest, FollowsTheDirectory) {
  EXPECT_THAT(hosts_of(0), IsEmpty());
  say(1, 0, 4, true);
  say(2, 2, 4, false);
  EXPECT_THAT(hosts_of(1), ElementsAre(peer(1)));
  EXPECT_THAT(hosts_of(3), ElementsAre(peer(1), peer(2)));
  const std::vector<Candidate> candidates = finder_.candidates({LayerId(0), ExpertId(1)});
  EXPECT_TRUE(candidates[0].leads);
  EXPECT_EQ(candidates[0].endpoint.port, 1);
  say(1, 3, 1, true);
  EXPECT_THAT(hosts_of(1), IsEmpty());
  EXPECT_THAT(hosts_of(3), ElementsAre(peer(1), peer(2)));
  directory_.gone(peer(2));
  EXPECT_THAT(hosts_of(3), ElementsAre(peer(1)));
  EXPECT_THAT(hosts_of(4), IsEmpty());
}

// A record of a few bytes may claim a million experts: they would be some 150 MB in every gate.
TEST_F(FinderTest, WhatIsClaimedBeyondTheSpecificationIsIgnored) {
  PeerState state{.host = true};
  state.held = {{.layer = LayerId(0), .first = 6, .count = kExpertNumberMax - 6, .leads = true},
                {.layer = LayerId(1), .first = 0, .count = 1, .leads = true},
                {.layer = LayerId(2), .first = 0, .count = 1, .leads = true}};
  state.retired = {{.layer = LayerId(0), .first = 0, .count = kExpertNumberMax}};
  directory_.say(peer(1), {"host", 1}, state);
  EXPECT_THAT(hosts_of(7), ElementsAre(peer(1)));
  EXPECT_THAT(hosts_of(8), IsEmpty());
  EXPECT_THAT(finder_.candidates({LayerId(2), ExpertId(0)}), IsEmpty());
  EXPECT_TRUE(finder_.wait_until_covered(1, 8, loop_.now_ns()).ok()) << "the retired are not missed";
  EXPECT_FALSE(finder_.wait_until_covered(1, 9, loop_.now_ns()).ok());
  directory_.gone(peer(1));
  EXPECT_THAT(hosts_of(7), IsEmpty());
}

TEST_F(FinderTest, WhoFailsIsLeftAloneButNeverTheLast) {
  say(1, 0, 2, true);
  say(2, 1, 1, false);
  for (int i = 0; i < 5; ++i) {
    finder_.on_call(peer(1));
    finder_.on_failure(peer(1));
  }
  EXPECT_THAT(hosts_of(1), ElementsAre(peer(2)));
  EXPECT_THAT(hosts_of(0), ElementsAre(peer(1)));
  loop_.run_for(60 * base::kSecondNs);
  EXPECT_THAT(hosts_of(1), ElementsAre(peer(1), peer(2)));
}

TEST_F(FinderTest, WaitsGrowWithTheLoadThatIsReported) {
  say(1, 0, 1, true);
  say(2, 0, 1, false);
  for (const auto& [host, load_us] : {std::pair(1, 50'000u), std::pair(2, 10u)}) {
    finder_.on_call(peer(host));
    finder_.on_reply(peer(host), 1'000'000, load_us);
  }
  const std::vector<Candidate> candidates = finder_.candidates({LayerId(0), ExpertId(0)});
  ASSERT_EQ(candidates.size(), 2u);
  EXPECT_GT(candidates[0].wait_ns, 10 * candidates[1].wait_ns);
}

TEST_F(FinderTest, LoadsAreSummedOverHosts) {
  say(1, 0, 3, true, {load_of(800), load_of(0), load_of(1600)});
  say(2, 2, 3, true, {load_of(400)});
  const std::vector<int64_t> loads = finder_.loads(LayerId(0), 5);
  const double expected[] = {800, 0, 2000, 400, 400};
  ASSERT_EQ(loads.size(), 5u);
  for (size_t e = 0; e < loads.size(); ++e) {
    EXPECT_NEAR(static_cast<double>(loads[e]), expected[e], 0.2 * expected[e]) << "as coarse as a record is";
  }
  EXPECT_EQ(finder_.loads(LayerId(0), 3).size(), 3u);
  EXPECT_THAT(finder_.loads(LayerId(1), 2), ElementsAre(0, 0));
}

// Else gates would flee from those that tell.
TEST_F(FinderTest, LoadsOfALayerAreToldWholeOrNotAtAll) {
  say(1, 0, 2, true, {load_of(800), load_of(400)});
  say(2, 2, 2, true);
  EXPECT_THAT(finder_.loads(LayerId(0), 4), ElementsAre(0, 0, 0, 0));
  say(2, 2, 2, false);
  EXPECT_GT(finder_.loads(LayerId(0), 4)[0], 0) << "who follows has no rows of those that train";
  EXPECT_GT(finder_.loads(LayerId(0), 2)[1], 0);
}

// Its record is there until it expires.
TEST_F(FinderTest, WhoLedBeforeCountsNoMore) {
  say(1, 0, 2, true, {load_of(800), load_of(800)});
  const int64_t before = finder_.loads(LayerId(0), 2)[1];
  say(2, 1, 1, true, {load_of(800)}, 2);
  EXPECT_THAT(finder_.loads(LayerId(0), 2), ElementsAre(before, before));
  say(1, 0, 2, true);
  EXPECT_THAT(finder_.loads(LayerId(0), 2), ElementsAre(0, 0)) << "not told by who leads";
  say(2, 0, 2, true, {load_of(800)}, 2);
  EXPECT_THAT(finder_.loads(LayerId(0), 2), ElementsAre(before, before));
}

TEST_F(FinderTest, CoverageNamesWhatIsMissing) {
  say(1, 0, 2, true);
  say(2, 2, 1, false);
  EXPECT_TRUE(finder_.wait_until_covered(1, 2, loop_.now_ns()).ok());
  const Status missing = finder_.wait_until_covered(1, 3, loop_.now_ns());
  EXPECT_EQ(missing.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(missing.message()), HasSubstr("expert 2 of layer 0"));
}

TEST_F(FinderTest, RecordsThatAreNoHostsStateCountForNothing) {
  PeerState trainer;
  trainer.trainer = true;
  directory_.say(peer(3), {"t", 3}, trainer);
  EXPECT_THAT(hosts_of(0), IsEmpty());
}

}  // namespace
}  // namespace agora::swarm
