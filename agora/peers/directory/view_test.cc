#include "agora/peers/directory/view.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "agora/base/loop.h"
#include "agora/base/rng.h"
#include "agora/peers/identity/identity.h"
#include <gtest/gtest.h>

namespace agora::peers {
namespace {

using base::kSecondNs;
using Kind = DirectoryEvent::Kind;

Identity identity(int number) { return Identity::from_seed(static_cast<uint64_t>(number)); }
PeerId peer(int number) { return identity(number).id(); }

std::vector<std::byte> record(int number, uint64_t sequence, uint32_t ttl_s = 30, bool leaving = false) {
  Record record;
  record.endpoint = {"10.0.0.1", 4700};
  record.sequence = sequence;
  record.ttl_s = ttl_s;
  record.leaving = leaving;
  record.body = std::to_string(sequence);
  return *sign_record(record, identity(number));
}

class ViewTest : public testing::Test {
 protected:
  Verdict take(const std::vector<std::byte>& bytes) {
    events_.clear();
    return view_.take(bytes, now_, &events_);
  }
  void pass(int64_t seconds) {
    events_.clear();
    now_ += seconds * kSecondNs;
    view_.expire(now_, &events_);
  }
  DirectoryView::Difference difference(const DirectoryView& other, int64_t first = 0) {
    const Arc arc = other.arc_from(static_cast<uint64_t>(first), 256);
    return view_.difference(arc, other.digest(arc), 1 << 20, 0, now_);
  }

  int64_t now_ = 5 * kSecondNs;
  std::vector<DirectoryEvent> events_;
  DirectoryView view_{{.swarm = {}, .self = peer(100), .peers_max = 8, .tombstones_max = 4}};
};

TEST_F(ViewTest, FresherRecordsTakeTheOldOnesPlace) {
  EXPECT_EQ(take(record(1, 5)), Verdict::taken);
  ASSERT_EQ(events_.size(), 1u);
  EXPECT_EQ(events_[0].kind, Kind::seen);
  EXPECT_EQ(take(record(1, 6)), Verdict::taken);
  ASSERT_EQ(events_.size(), 1u);
  EXPECT_EQ(events_[0].kind, Kind::changed);
  EXPECT_EQ(view_.find(peer(1))->body, "6");
  EXPECT_EQ(view_.size(), 1u);
}

TEST_F(ViewTest, OldRecordsAreStaleAndTheSameOneIsNoNews) {
  take(record(1, 5));
  EXPECT_EQ(take(record(1, 5)), Verdict::known);
  EXPECT_EQ(take(record(1, 4)), Verdict::stale);
  EXPECT_EQ(take(record(1, 5, /*ttl_s=*/60)), Verdict::stale);  // another record of the same sequence
  EXPECT_TRUE(events_.empty());
  EXPECT_EQ(view_.counters().stale, 2u);
}

TEST_F(ViewTest, ARecordLivesFromWhenItsSequenceWasFirstSeen) {
  take(record(1, 5));
  pass(29);
  EXPECT_EQ(take(record(1, 5)), Verdict::known);  // seeing it again does not prolong it
  EXPECT_EQ(view_.next_expiry_ns(), now_ + kSecondNs);
  pass(1);
  ASSERT_EQ(events_.size(), 1u);
  EXPECT_EQ(events_[0].kind, Kind::gone);
  EXPECT_EQ(view_.size(), 0u);
  EXPECT_EQ(view_.next_expiry_ns(), INT64_MAX);
  EXPECT_EQ(view_.counters().expired, 1u);
}

TEST_F(ViewTest, WhoIsGoneComesBackOnlyWithAFresherRecord) {
  take(record(1, 5));
  pass(30);
  EXPECT_EQ(take(record(1, 5)), Verdict::stale);
  EXPECT_EQ(take(record(1, 6)), Verdict::taken);
  EXPECT_EQ(events_[0].kind, Kind::seen);
}

TEST_F(ViewTest, LeavingIsFinal) {
  take(record(1, 5));
  EXPECT_EQ(take(record(1, 6, 30, /*leaving=*/true)), Verdict::taken);
  ASSERT_EQ(events_.size(), 1u);
  EXPECT_EQ(events_[0].kind, Kind::gone);
  EXPECT_EQ(take(record(1, 6, 30, /*leaving=*/true)), Verdict::stale);
  EXPECT_EQ(take(record(1, 5)), Verdict::stale);
  EXPECT_EQ(take(record(2, 5, 30, /*leaving=*/true)), Verdict::taken);  // never seen: nothing to tell
  EXPECT_TRUE(events_.empty());
}

TEST_F(ViewTest, WhatDoesNotHoldIsCountedByItsKind) {
  std::vector<std::byte> bytes = record(1, 5);
  bytes.back() ^= std::byte{1};
  EXPECT_EQ(take(bytes), Verdict::forged);
  EXPECT_EQ(take(std::vector<std::byte>(kRecordBytesMax + 1)), Verdict::oversized);
  EXPECT_EQ(take({}), Verdict::malformed);
  Record foreign;
  foreign.endpoint = {"10.0.0.1", 1};
  foreign.swarm.bytes[0] = std::byte{1};
  EXPECT_EQ(take(*sign_record(foreign, identity(1))), Verdict::foreign);
  EXPECT_EQ(view_.counters().forged, 1u);
  EXPECT_EQ(view_.counters().oversized, 1u);
  EXPECT_EQ(view_.counters().malformed, 1u);
  EXPECT_EQ(view_.counters().foreign, 1u);
  EXPECT_EQ(view_.size(), 0u);
}

TEST_F(ViewTest, AForgedFresherRecordDoesNotReplaceTheTrueOne) {
  take(record(1, 5));
  std::vector<std::byte> bytes = record(1, 6);
  bytes.back() ^= std::byte{1};
  EXPECT_EQ(take(bytes), Verdict::forged);
  EXPECT_EQ(view_.find(peer(1))->sequence, 5u);
}

TEST_F(ViewTest, OwnRecordsAreToldApart) {
  EXPECT_EQ(take(record(100, 5)), Verdict::own);
  std::vector<std::byte> bytes = record(100, 6);
  bytes.back() ^= std::byte{1};
  EXPECT_EQ(take(bytes), Verdict::forged);
  EXPECT_EQ(view_.size(), 0u);
}

TEST_F(ViewTest, PeersAndTombstonesHaveLimits) {
  for (int i = 1; i <= 8; ++i) EXPECT_EQ(take(record(i, 1, /*ttl_s=*/i)), Verdict::taken);
  EXPECT_EQ(take(record(9, 1)), Verdict::over_limit);
  EXPECT_EQ(take(record(8, 2, 10)), Verdict::taken);  // the known are not shut out
  pass(7);
  EXPECT_EQ(view_.size(), 1u);
  EXPECT_EQ(take(record(7, 1)), Verdict::stale);
  EXPECT_EQ(take(record(1, 1)), Verdict::taken);  // its tombstone made room for later ones
}

TEST_F(ViewTest, ADifferenceBringsTwoViewsTogether) {
  DirectoryView other{{.swarm = {}, .self = peer(101)}};
  std::vector<DirectoryEvent> events;
  for (int i = 1; i <= 4; ++i) take(record(i, i == 4 ? 9 : 1));
  for (int i = 3; i <= 6; ++i) other.take(record(i, i == 3 ? 9 : 1), now_, &events);
  const DirectoryView::Difference difference = this->difference(other);
  EXPECT_EQ(difference.fresher.size(), 3u);  // 1, 2 and the fresher 4
  EXPECT_EQ(difference.wanted.size(), 3u);   // 5, 6 and the fresher 3
  for (const Payload& bytes : difference.fresher) {
    EXPECT_EQ(other.take(bytes.bytes(), now_, &events), Verdict::taken);
  }
  for (const Payload& bytes : other.records_at(difference.wanted, 1 << 20, now_)) {
    EXPECT_EQ(view_.take(bytes.bytes(), now_, &events), Verdict::taken);
  }
  EXPECT_EQ(view_.size(), 6u);
  EXPECT_TRUE(this->difference(other).fresher.empty());
  EXPECT_TRUE(this->difference(other).wanted.empty());
}

TEST_F(ViewTest, ADifferenceStaysWithinItsBytes) {
  for (int i = 1; i <= 8; ++i) take(record(i, 1));
  const size_t one = record(1, 1).size();
  const Arc all{0, UINT64_MAX};
  EXPECT_EQ(view_.difference(all, {}, 3 * one, 5, now_).fresher.size(), 3u);
  EXPECT_EQ(view_.difference(all, {}, 0, 5, now_).fresher.size(), 0u);
  const std::vector<uint64_t> places{ring_place(peer(1)), ring_place(peer(2))};
  EXPECT_EQ(view_.records_at(places, one, now_).size(), 1u);
}

TEST_F(ViewTest, RecordsNearTheirEndAreNotPassedOn) {
  take(record(1, 1, 30));
  pass(19);
  EXPECT_FALSE(view_.is_aging(peer(1), now_));
  const std::vector<uint64_t> asked{ring_place(peer(1))};
  EXPECT_EQ(view_.difference({}, {}, 1 << 20, 0, now_).fresher.size(), 1u);
  EXPECT_EQ(view_.records_at(asked, 1 << 20, now_).size(), 1u);
  pass(1);
  EXPECT_TRUE(view_.is_aging(peer(1), now_));
  EXPECT_EQ(view_.difference({}, {}, 1 << 20, 0, now_).fresher.size(), 0u);
  EXPECT_EQ(view_.records_at(asked, 1 << 20, now_).size(), 0u);
}

TEST_F(ViewTest, APeerIsShownWhatItSaidBeforeItWasGone) {
  take(record(1, 50, 1));
  pass(1);
  const std::vector<DigestEntry> comes_back{{ring_place(peer(1)), 10}};
  const auto difference = view_.difference({}, comes_back, 1 << 20, 0, now_);
  ASSERT_EQ(difference.fresher.size(), 1u);
  EXPECT_EQ(read_record(difference.fresher[0].bytes())->sequence, 50u);
}

TEST_F(ViewTest, ArcsOfLargeViewsCoverAFewAndTogetherEverybody) {
  for (int i = 1; i <= 8; ++i) take(record(i, 1));
  uint64_t first = 12345;
  std::vector<uint64_t> places;
  for (int arcs = 0; arcs < 4; ++arcs) {
    const Arc arc = view_.arc_from(first, 2);
    const std::vector<DigestEntry> digest = view_.digest(arc);
    EXPECT_EQ(digest.size(), 2u);
    for (const DigestEntry& entry : digest) places.push_back(entry.place);
    first = arc.last + 1;
  }
  std::sort(places.begin(), places.end());
  EXPECT_EQ(std::unique(places.begin(), places.end()) - places.begin(), 8);
}

TEST_F(ViewTest, PlacesGoRoundTheRing) {
  EXPECT_EQ(view_.somebody(0), nullptr);
  take(record(1, 1));
  EXPECT_EQ(view_.somebody(0)->peer, peer(1));
  EXPECT_EQ(view_.somebody(UINT64_MAX)->peer, peer(1));
  EXPECT_TRUE((Arc{UINT64_MAX - 1, 1}.holds(0)));
  EXPECT_FALSE((Arc{UINT64_MAX - 1, 1}.holds(2)));
}

// Who has an even time to live matters; of the others four are kept, the one of the least place as reserve.
class CrowdedViewTest : public ViewTest {
 protected:
  CrowdedViewTest() {
    settings_.others_max = 4;
    settings_.matters = [](const Record& record) { return record.ttl_s % 2 == 0; };
    view_ = DirectoryView(settings_);
    for (int i = 0; i < 10; ++i) by_place_[static_cast<size_t>(i)] = i + 1;
    std::ranges::sort(by_place_, {}, [](int number) { return ring_place(peer(number)); });
    for (const size_t i : kSample) EXPECT_EQ(take(record(by_place_[i], 1, kOther)), Verdict::taken);
  }
  static constexpr uint32_t kOther = 31, kMatters = 30;
  static constexpr std::array<size_t, 4> kSample{2, 4, 6, 8};
  uint64_t place(size_t i) const { return ring_place(peer(by_place_[i])); }

  std::array<int, 10> by_place_{};  // numbers of peers
  ViewSettings settings_{.swarm = {}, .self = peer(100), .peers_max = 8};
};

TEST_F(CrowdedViewTest, TakesNoMoreThanASampleOfThoseThatDoNotMatter) {
  EXPECT_TRUE(view_.crowded());
  EXPECT_EQ(take(record(by_place_[5], 1, kOther)), Verdict::over_limit);
  EXPECT_EQ(take(record(by_place_[4], 2, kOther)), Verdict::taken);  // the known are not shut out
  for (int i = 11; i <= 18; ++i) EXPECT_EQ(take(record(i, 1, kMatters)), Verdict::taken);
  EXPECT_EQ(take(record(19, 1, kMatters)), Verdict::over_limit);
  EXPECT_EQ(view_.mattering(), 8u);
  EXPECT_EQ(view_.size(), 12u);
}

TEST_F(CrowdedViewTest, ACallerTakesTheRoomOfAnother) {
  events_.clear();
  const auto brought_by = [&](int number, int caller) {
    return view_.take(record(number, 1, kOther), now_, &events_, peer(caller));
  };
  EXPECT_EQ(brought_by(by_place_[9], by_place_[8]), Verdict::over_limit);  // for itself only
  EXPECT_EQ(brought_by(by_place_[9], by_place_[9]), Verdict::taken);
  ASSERT_EQ(events_.size(), 2u);
  EXPECT_EQ(events_[0].kind, Kind::gone);
  EXPECT_EQ(events_[1].kind, Kind::seen);
  EXPECT_EQ(view_.size(), 4u);
  EXPECT_NE(ring_place(events_[0].record->peer), view_.reserve_end());
  const PeerId forgotten = events_[0].record->peer;
  for (const int number : by_place_) {
    if (peer(number) != forgotten) continue;
    EXPECT_EQ(brought_by(number, number), Verdict::taken);  // it may be well
  }
}

TEST_F(CrowdedViewTest, PassesOnThoseThatMatterTheReserveAndASampleOfTheRest) {
  take(record(11, 1, kMatters));
  const Arc all = view_.arc_from(0, 256);
  EXPECT_EQ(view_.digest(all).size(), 2u);
  EXPECT_EQ(view_.difference(all, {}, 1 << 20, 0, now_).fresher.size(), 2u);
  EXPECT_EQ(view_.sample(12345, 3, now_).size(), 3u);
  EXPECT_EQ(view_.sample(UINT64_MAX, 9, now_).size(), 4u);
}

TEST_F(CrowdedViewTest, HalfOfWhomItNamesCalledIt) {
  const auto caller = [&](size_t i, uint64_t sequence) {
    view_.take(record(by_place_[i], sequence, kOther), now_, &events_, peer(by_place_[i]));
  };
  const auto names = [&](size_t i) {
    int times = 0;
    for (uint64_t at = 0; at < 64; ++at) {
      for (const Payload& named : view_.sample(mix_bits(at), 2, now_)) {
        times += read_record(named.bytes())->peer == peer(by_place_[i]);
      }
    }
    return times;
  };
  EXPECT_LT(names(6), 64);
  caller(6, 1);  // known already
  EXPECT_EQ(names(6), 64);
  take(record(by_place_[6], 2, kOther));  // that it said something since comes from others
  EXPECT_LT(names(6), 64);
  caller(8, 2);
  EXPECT_EQ(names(8), 64);
}

TEST_F(CrowdedViewTest, TalksToTheSampleOnly) {
  take(record(11, 1, kMatters));
  for (uint64_t at = 0; at < 16; ++at) {
    const PeerId somebody = view_.somebody(mix_bits(at))->peer;
    EXPECT_NE(somebody, peer(11));
    EXPECT_NE(somebody, peer(by_place_[2]));
  }
}

TEST_F(CrowdedViewTest, CallsThoseThatStandCloseTogetherAsSeldomAsOneAlone) {
  constexpr int kDraws = 4000;
  const auto length = [&](size_t from, size_t to) { return static_cast<double>(place(to) - place(from)); };
  int called = 0;
  for (uint64_t at = 0; at < kDraws; ++at) called += view_.somebody(mix_bits(at))->peer == peer(by_place_[8]);
  EXPECT_NEAR(called, kDraws * length(6, 8) / length(2, 8), 0.04 * kDraws);
}

TEST_F(CrowdedViewTest, WhoIsOfTheReserveIsTakenPassedOnAndWanted) {
  const Arc all{};
  const std::vector<DigestEntry> of_reserve{{place(0), 1}}, of_sample{{place(9), 1}};
  EXPECT_EQ(view_.reserve_end(), place(2));
  EXPECT_EQ(view_.difference(all, of_reserve, 1 << 20, 0, now_).wanted.size(), 1u);
  EXPECT_EQ(view_.difference(all, of_sample, 1 << 20, 0, now_).wanted.size(), 0u);
  EXPECT_EQ(take(record(by_place_[0], 1, kOther)), Verdict::taken);
  ASSERT_EQ(events_.size(), 2u);
  EXPECT_EQ(events_[0].kind, Kind::gone);
  EXPECT_NE(events_[0].record->peer, peer(by_place_[2]));  // it is of the sample now
  EXPECT_TRUE(view_.is_news(events_[1]));
  EXPECT_EQ(view_.reserve_end(), place(0));
  EXPECT_EQ(view_.digest(all)[0].place, place(0));
  take(record(by_place_[0], 2, kOther, /*leaving=*/true));
  EXPECT_TRUE(view_.is_news(events_[0]));
  EXPECT_EQ(view_.reserve_end(), place(2));
}

TEST_F(CrowdedViewTest, ThatAPeerMattersNoLongerIsPassedOnOnce) {
  take(record(by_place_[9], 1, kMatters));
  take(record(by_place_[9], 2, kOther));
  EXPECT_TRUE(view_.is_news(events_[0]));
  EXPECT_EQ(view_.digest(view_.arc_from(0, 256)).size(), 2u);
  take(record(by_place_[9], 3, kOther));
  EXPECT_FALSE(view_.is_news(events_.back()));
  EXPECT_EQ(view_.digest(view_.arc_from(0, 256)).size(), 1u);
}

TEST_F(CrowdedViewTest, IsNoLongerCrowdedWhenMostAreGone) {
  for (const size_t i : {2, 4}) take(record(by_place_[i], 2, kOther, /*leaving=*/true));
  EXPECT_TRUE(view_.crowded());
  take(record(by_place_[6], 2, kMatters));  // it matters from now on
  EXPECT_TRUE(view_.crowded());
  take(record(by_place_[8], 2, kOther, /*leaving=*/true));
  EXPECT_FALSE(view_.crowded());
  EXPECT_EQ(view_.reserve_end(), UINT64_MAX);
  EXPECT_EQ(view_.digest(view_.arc_from(0, 256)).size(), 1u);
  EXPECT_TRUE(view_.sample(0, 4, now_).empty());
}

}  // namespace
}  // namespace agora::peers
