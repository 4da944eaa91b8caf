#include "apps/dashboard/feed.h"

#include "agora/base/virtual_loop.h"
#include "agora/peers/transport/loopback.h"
#include "agora/swarm/wire/method.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agora::dashboard {
namespace {

using base::kSecondNs;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

peers::PeerId peer(int number) {
  peers::PeerId id;
  id.bytes[0] = static_cast<std::byte>(number);
  return id;
}

// Peer 1 has the page, peer 2 is a trainer that it knows.
class FeedTest : public ::testing::Test {
 protected:
  FeedTest() {
    other_.serve(swarm::kGetStatus, [this](const std::shared_ptr<peers::IncomingCall>& call) {
      EXPECT_EQ(base::as_text(call->payload().bytes()), kSelfOnly);
      ++asked_;
      if (answer_.empty()) return call_.push_back(call);
      call->reply(absl::OkStatus(), peers::Payload::copy(base::as_bytes(answer_)));
    });
    PeerStatus other;
    other.self = {peer(2), other_.endpoint(), {.trainer = true}};
    other.metrics = {{"agora_mix_by_hedge_total", 3}, {"agora_gate_mass_total", 50}};
    answer_ = status_text(other);
  }

  PeerStatus seen() const {
    PeerStatus status;
    status.self = {peer(1), here_.endpoint(), {}};
    status.swarm = "words";
    status.known = {{peer(2), other_.endpoint(), {.trainer = true, .step = 7, .loss = 2.5f}}};
    return status;
  }
  void seconds_pass(int seconds) {
    for (int i = 0; i < seconds; ++i) {
      feed_.note(seen());
      loop_.run_for(kSecondNs);
    }
  }

  base::VirtualLoop loop_;
  std::shared_ptr<peers::LoopbackNetwork> network_ = std::make_shared<peers::LoopbackNetwork>(loop_);
  peers::LoopbackTransport here_{network_, peer(1), {"loop", 1}};
  peers::LoopbackTransport other_{network_, peer(2), {"loop", 2}};
  Feed feed_{here_, loop_};
  std::string answer_;
  int asked_ = 0;
  std::vector<std::shared_ptr<peers::IncomingCall>> call_;  // not answered
};

TEST_F(FeedTest, SaysWhatTheDirectorySaysAndAsksNobodyWhileNobodyLooks) {
  seconds_pass(20);
  EXPECT_EQ(asked_, 0);
  const json feed = json::parse(feed_.json());
  EXPECT_EQ(feed.at("swarm"), "words");
  EXPECT_EQ(feed.at("seen_by"), peer(1).text());
  ASSERT_EQ(feed.at("peers").size(), 2u);
  EXPECT_TRUE(feed.at("peers")[0].contains("numbers")) << "its own";
  EXPECT_EQ(feed.at("peers")[1].at("step"), 7);
  EXPECT_FALSE(feed.at("peers")[1].contains("numbers"));
  EXPECT_EQ(feed.at("history").at("losses")[0].at("loss")[0], 2.5);
}

TEST_F(FeedTest, AsksTheOthersWhileSomebodyLooks) {
  feed_.json();
  seconds_pass(4);
  const json other = json::parse(feed_.json()).at("peers")[1];
  EXPECT_EQ(other.at("numbers").at("hedges"), 3);
  EXPECT_EQ(other.at("numbers").at("gate_mass"), 50);
  EXPECT_EQ(other.at("silent"), false);
  EXPECT_EQ(asked_, 2) << "one question every two seconds";
  seconds_pass(60);
  EXPECT_LE(asked_, 6) << "nobody looks any more";
}

TEST_F(FeedTest, ShowsWhoIsSilentAndKeepsItsLastNumbers) {
  feed_.json();
  seconds_pass(2);
  answer_.clear();
  feed_.json();
  seconds_pass(4);
  const json other = json::parse(feed_.json()).at("peers")[1];
  EXPECT_EQ(other.at("silent"), true);
  EXPECT_EQ(other.at("numbers").at("hedges"), 3);
}

TEST_F(FeedTest, ForeignBytesDoNoHarm) {
  answer_ = "{\"self\": \"\xff<script>\"}";
  feed_.json();
  seconds_pass(2);
  EXPECT_EQ(json::parse(feed_.json()).at("peers")[1].at("silent"), true);
  PeerStatus odd = seen();
  odd.swarm = "\xc3</script>";
  feed_.note(odd);
  EXPECT_TRUE(json::accept(feed_.json()));
}

}  // namespace
}  // namespace agora::dashboard
