#include "apps/dashboard/chronicle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agora::dashboard {
namespace {

using nlohmann::json;

peers::PeerId peer(int number) {
  peers::PeerId id;
  id.bytes[0] = static_cast<std::byte>(number);
  id.bytes[1] = static_cast<std::byte>(number >> 8);
  return id;
}

PeerEntry trainer(int number, float loss) {
  return {peer(number), {"127.0.0.1", 4700}, {.trainer = true, .loss = loss, .rows_per_s = 10}};
}

PeerEntry host(int number, int32_t count, bool leads) {
  return {peer(number),
          {"127.0.0.1", 4701},
          {.host = true, .held = {{.layer = LayerId{0}, .first = 0, .count = count, .leads = leads}}}};
}

PeerStatus seen(std::vector<PeerEntry> known) {
  PeerStatus status;
  status.self.peer = peer(1);
  status.known = std::move(known);
  return status;
}

std::vector<std::string> events(const Chronicle& chronicle) {
  std::vector<std::string> all;
  for (const json event : chronicle.events_json()) {
    all.push_back(event.at("peer").get<std::string>() + " " + event.at("what").get<std::string>());
  }
  return all;
}

TEST(Chronicle, KeepsTheLossOfEachTrainerAndTheRowsOfAll) {
  Chronicle chronicle;
  chronicle.note(seen({trainer(2, 4)}), 1);
  chronicle.note(seen({trainer(2, 3), trainer(3, 0)}), 2);
  chronicle.note(seen({trainer(3, 2.5)}), 3);
  const json history = chronicle.history_json();
  EXPECT_EQ(history.at("at_s"), json({1.0, 2.0, 3.0}));
  EXPECT_EQ(history.at("rows_per_s"), json({10.0, 20.0, 10.0}));
  ASSERT_EQ(history.at("losses").size(), 2u);
  EXPECT_EQ(history.at("losses")[0].at("peer"), peer(2).text());
  EXPECT_EQ(history.at("losses")[0].at("loss"), json({4.0, 3.0, nullptr}));
  EXPECT_EQ(history.at("losses")[1].at("loss"), json({nullptr, nullptr, 2.5}));
}

TEST(Chronicle, IsBoundedAndStillCoversItsWholeTime) {
  Chronicle chronicle;
  constexpr int kSeconds = 10 * static_cast<int>(Chronicle::kPointsMax);
  for (int second = 0; second < kSeconds; ++second) {
    // Ever new trainers and hosts: curves and events must not pile up.
    chronicle.note(seen({trainer(2, 3), trainer(10 + second, 2), host(5000 + second, 1, true)}), second);
  }
  const json history = chronicle.history_json();
  const size_t points = history.at("at_s").size();
  EXPECT_LE(points, Chronicle::kPointsMax);
  EXPECT_GE(points, Chronicle::kPointsMax / 2);
  EXPECT_EQ(history.at("at_s")[0], 0.0);
  EXPECT_GE(history.at("at_s").back(), kSeconds - 2 * kSeconds / static_cast<int>(points));
  EXPECT_LE(history.at("losses").size(), Chronicle::kCurvesMax);
  EXPECT_EQ(history.at("losses")[0].at("peer"), peer(2).text()) << "who is still there keeps its curve";
  for (const json& curve : history.at("losses")) EXPECT_EQ(curve.at("loss").size(), points);
  EXPECT_EQ(chronicle.events_json().size(), Chronicle::kEventsMax);
}

TEST(Chronicle, SaysWhoComesGoesAndLeads) {
  Chronicle chronicle;
  chronicle.note(seen({}), 0);
  const std::string name = peer(2).brief();
  chronicle.note(seen({host(2, 4, false)}), 1);
  EXPECT_THAT(events(chronicle), ::testing::Contains(name + " a host is here, at 127.0.0.1:4701"));
  EXPECT_THAT(events(chronicle), ::testing::Contains(" 4 experts have no leader"));
  chronicle.note(seen({host(2, 4, true)}), 2);
  EXPECT_EQ(events(chronicle).front(), " every expert has a leader");
  chronicle.note(seen({host(2, 4, true)}), 3);
  EXPECT_EQ(events(chronicle).front(), name + " leads 4 experts; it led 0") << "once it has settled";
  chronicle.note(seen({host(2, 4, true)}), 4);
  EXPECT_EQ(events(chronicle).size(), 5u) << "nothing new, nothing said";
  chronicle.note(seen({}), 5);
  EXPECT_EQ(events(chronicle).front(), name + " the host has gone; it led 4 experts");
}

TEST(Chronicle, DoesNotBelieveHugeHoldings) {
  Chronicle chronicle;
  chronicle.note(seen({host(2, 1 << 30, true)}), 0);
  EXPECT_EQ(chronicle.history_json().at("at_s").size(), 1u);
}

}  // namespace
}  // namespace agora::dashboard
