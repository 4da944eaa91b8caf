#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "apps/cli/swarm/experts_view.h"
#include "apps/cli/swarm/trace_view.h"

namespace agora::cli {
namespace {

using ::testing::HasSubstr;

peers::PeerId peer(int number) {
  peers::PeerId id;
  id.bytes[0] = static_cast<std::byte>(number);
  return id;
}

dashboard::PeerStatus host(int number, std::vector<swarm::HeldRange> held) {
  dashboard::PeerStatus status;
  status.self.peer = peer(number);
  status.self.state.host = true;
  status.self.state.held = std::move(held);
  return status;
}

TEST(Experts, AreGatheredFromTheirHosts) {
  const std::vector<ExpertRow> rows = experts_of(
      {host(2, {{.layer = LayerId{0},
                 .first = 0,
                 .count = 2,
                 .leads = true,
                 .epoch = 3,
                 .version = 9,
                 .loads = {8, 16}}}),
       host(1, {{.layer = LayerId{0}, .first = 1, .count = 2, .leads = false, .epoch = 3, .version = 7}})});
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].leader, peer(2));
  EXPECT_EQ(rows[1].leader, peer(2));
  EXPECT_EQ(rows[1].version, 9u);
  EXPECT_EQ(rows[1].version_min, 7u);
  EXPECT_NEAR(rows[1].rows_per_s, 3, 0.01);
  EXPECT_EQ(rows[1].replicas, (std::vector{peer(1), peer(2)}));
  EXPECT_FALSE(rows[2].leader);
  EXPECT_EQ(rows[2].version, 7u);
  EXPECT_LT(rows[2].rows_per_s, 0);
}

TEST(Experts, TheHighestEpochLeads) {
  const swarm::HeldRange old{
      .layer = LayerId{0}, .first = 0, .count = 1, .leads = true, .epoch = 1, .version = 50};
  swarm::HeldRange fresh = old;
  fresh.epoch = 2;
  fresh.version = 40;
  for (const auto& peers :
       {std::vector{host(1, {old}), host(2, {fresh})}, {host(2, {fresh}), host(1, {old})}}) {
    const std::vector<ExpertRow> rows = experts_of(peers);
    EXPECT_EQ(rows[0].leader, peer(2));
    EXPECT_EQ(rows[0].version, 40u);
  }
}

TEST(Experts, AreShownAndDumped) {
  const std::vector<ExpertRow> rows =
      experts_of({host(1, {{.layer = LayerId{2}, .first = 5, .count = 1, .leads = false}})});
  EXPECT_THAT(experts_text(rows, 100), HasSubstr("nobody"));
  EXPECT_TRUE(experts_json(rows)[0].at("leader").is_null());
  EXPECT_EQ(experts_json(rows)[0].at("expert"), 5);
}

TEST(Trace, ForeignSpansAreShownAsTheyMayBe) {
  const std::vector<TracedSpan> spans =
      in_order({{peer(1), {"host.\xff", "\x80", INT64_MAX, INT64_MAX}, 1 - INT64_MAX},
                {peer(2), {"server.ask", "", 0, INT64_MAX}, 1}});
  EXPECT_THAT(trace_text(spans, 120), HasSubstr("server.ask"));
  EXPECT_FALSE(trace_text(spans, 1).empty());
  EXPECT_EQ(nlohmann::json::parse(trace_json(spans).dump())[0].at("what"), "host.\xef\xbf\xbd");
}

TEST(Trace, SpansStandInTheOrderOfTime) {
  const std::vector<TracedSpan> spans = in_order({{peer(1), {"host.mix", "3 rows", 0, 2'000'000}, 5'000'000},
                                                  {peer(2), {"server.ask", "", 0, 6'000'000}, 1'000'000}});
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].span.what, "server.ask");
  EXPECT_EQ(spans[1].begin_ns, 4'000'000);
  const std::string text = trace_text(spans, 120);
  EXPECT_THAT(text, HasSubstr("4.000   2.000"));
  EXPECT_EQ(trace_json(spans)[1].at("what"), "host.mix");
  EXPECT_THAT(trace_text({}, 120), HasSubstr("peer"));
}

TEST(Trace, ARequestHasANumber) {
  EXPECT_EQ(swarm::request_text(0xab), "00000000000000ab");
  EXPECT_EQ(*parse_request("00000000000000ab"), 0xabu);
  EXPECT_EQ(*parse_request("AB"), 0xabu);
  for (const char* wrong : {"", "0", "xyz", "12 ", "0x12", "11112222333344445"}) {
    EXPECT_FALSE(parse_request(wrong).ok()) << wrong;
  }
}

}  // namespace
}  // namespace agora::cli
