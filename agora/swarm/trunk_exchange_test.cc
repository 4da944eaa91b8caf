#include "agora/swarm/trunk_exchange.h"

#include <memory>
#include <string>
#include <vector>

#include "agora/base/virtual_loop.h"
#include "agora/peers/transport/loopback.h"
#include "agora/swarm/wire/method.h"
#include <gtest/gtest.h>

namespace agora::swarm {
namespace {

peers::PeerId peer_of(size_t i) {
  peers::PeerId peer;
  peer.bytes[0] = static_cast<std::byte>(i);
  return peer;
}

constexpr size_t kNumbers = 3 * kBlobChunkBytes / sizeof(float);

TrunkSnapshot trunk_of(uint64_t round) {
  TrunkSnapshot trunk;
  trunk.version.round = round;
  trunk.values.assign(kNumbers, static_cast<float>(round));
  trunk.momentum.assign(trunk.values.size(), 0.5f);
  return trunk;
}

class TrunkExchangeTest : public ::testing::Test {
 protected:
  TrunkExchangeTest() { shelf_.serve(giver_); }

  // A round ends between any two things that happen, until the trunk is here.
  void end_rounds(uint64_t round) {
    if (found_) return;
    shelf_.put(trunk_of(round));
    loop_.post([this, round] { end_rounds(round + 1); });
  }

  StatusOr<TrunkSnapshot> fetch_while_rounds_end(TrunkPart part) {
    found_.reset();
    end_rounds(1);
    fetch_trunk(taker_, loop_, {giver_.self(), giver_.endpoint()}, part, kNumbers,
                [this](StatusOr<TrunkSnapshot> trunk) { found_ = std::move(trunk); });
    loop_.run_for(base::kSecondNs);
    return *std::move(found_);
  }

  base::VirtualLoop loop_;
  std::shared_ptr<peers::LoopbackNetwork> network_ = std::make_shared<peers::LoopbackNetwork>(loop_);
  peers::LoopbackTransport giver_{network_, peer_of(1), {"loop", 1}};
  peers::LoopbackTransport taker_{network_, peer_of(2), {"loop", 2}};
  TrunkShelf shelf_{loop_};
  std::optional<StatusOr<TrunkSnapshot>> found_;
};

TEST_F(TrunkExchangeTest, ATrunkComesWholeThoughRoundsEndMeanwhile) {
  for (const TrunkPart part : {TrunkPart::values, TrunkPart::values_with_momentum}) {
    const auto trunk = fetch_while_rounds_end(part);
    ASSERT_TRUE(trunk.ok()) << trunk.status();
    const TrunkSnapshot whole = trunk_of(trunk->version.round);
    EXPECT_GE(trunk->version.round, 1u);
    EXPECT_LT(trunk->version.round, shelf_.latest()->version.round);
    EXPECT_EQ(trunk->values, whole.values);
    EXPECT_EQ(trunk->momentum.size(), part == TrunkPart::values ? 0 : whole.momentum.size());
  }
}

TEST_F(TrunkExchangeTest, WhoHasNoTrunkSaysSo) {
  fetch_trunk(taker_, loop_, {giver_.self(), giver_.endpoint()}, TrunkPart::values, kNumbers,
              [this](StatusOr<TrunkSnapshot> trunk) { found_ = std::move(trunk); });
  loop_.run_for(base::kSecondNs);
  ASSERT_TRUE(found_);
  EXPECT_TRUE(absl::IsNotFound(found_->status())) << found_->status();
}

TEST_F(TrunkExchangeTest, OfAnotherLengthIsRefusedBeforeItIsHere) {
  shelf_.put(trunk_of(1));
  fetch_trunk(taker_, loop_, {giver_.self(), giver_.endpoint()}, TrunkPart::values, kNumbers / 2,
              [this](StatusOr<TrunkSnapshot> trunk) { found_ = std::move(trunk); });
  loop_.run_for(base::kSecondNs);
  ASSERT_TRUE(found_);
  EXPECT_TRUE(is_useless(found_->status())) << found_->status();
}

// It may be busy with other callers.
TEST_F(TrunkExchangeTest, WhoHasTooMuchInHandMayGiveATrunkLater) {
  peers::LoopbackTransport busy(network_, peer_of(3), {"loop", 3});
  busy.serve(kGetTrunk, [](const std::shared_ptr<peers::IncomingCall>& call) {
    call->reply(absl::ResourceExhaustedError("the peer has too much of this caller's in hand"));
  });
  fetch_trunk(taker_, loop_, {busy.self(), busy.endpoint()}, TrunkPart::values, kNumbers,
              [this](StatusOr<TrunkSnapshot> trunk) { found_ = std::move(trunk); });
  loop_.run_for(base::kSecondNs);
  ASSERT_TRUE(found_);
  EXPECT_FALSE(found_->ok() || is_useless(found_->status())) << found_->status();
}

// Peers that fetch a trunk step by step, as over slow lines.
class SlowFetchers : public TrunkExchangeTest {
 protected:
  struct Fetcher {
    std::unique_ptr<peers::LoopbackTransport> transport;
    std::string name;
  };

  Fetcher make(size_t i) {
    return {std::make_unique<peers::LoopbackTransport>(network_, peer_of(i),
                                                       peers::Endpoint{"loop", static_cast<uint16_t>(i)}),
            {}};
  }

  Status ask(Fetcher& fetcher, const std::string& key, uint64_t offset) {
    std::optional<peers::Reply> reply;
    const peers::CallSettings settings{.to = from_->self(),
                                       .at = from_->endpoint(),
                                       .method = kGetTrunk,
                                       .deadline_ns = loop_.now_ns() + base::kSecondNs};
    fetcher.transport->call(settings, encode(BlobRequest{.key = key, .offset = offset}),
                            [&](peers::Reply came) { reply = std::move(came); });
    loop_.run_for(base::kMillisecondNs);
    if (!reply) return absl::UnknownError("no answer");
    if (reply->status.ok() && key == "values") {
      fetcher.name = base::as_text(read_blob_chunk(reply->payload.bytes())->bytes);
    }
    return reply->status;
  }
  Status begin(Fetcher& fetcher) { return ask(fetcher, "values", 0); }
  Status chunk(Fetcher& fetcher, uint64_t i) { return ask(fetcher, fetcher.name, i * kBlobChunkBytes); }

  peers::LoopbackTransport small_{network_, peer_of(3), {"loop", 3}};
  peers::LoopbackTransport* from_ = &giver_;
};

// A server that pulled each round's trunk drove it out between two chunks.
TEST_F(SlowFetchers, KeepTheirTrunksThoughOthersFollowEachRound) {
  Fetcher server = make(20);
  std::vector<Fetcher> slow;
  for (uint64_t round = 1; round <= 24; ++round) {
    shelf_.put(trunk_of(round));
    if (slow.size() < 8) {
      slow.push_back(make(21 + slow.size()));
      ASSERT_TRUE(begin(slow.back()).ok());
    }
    ASSERT_TRUE(begin(server).ok());
    for (uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(chunk(server, i).ok());
    for (Fetcher& fetcher : slow) ASSERT_TRUE(chunk(fetcher, 0).ok()) << round;
    loop_.run_for(base::kSecondNs);
  }
  for (Fetcher& fetcher : slow) {
    for (uint64_t i = 0; i < 4; ++i) EXPECT_TRUE(chunk(fetcher, i).ok());
  }
}

// Each place is asked for by many; of those who have one, everybody comes to an end.
TEST_F(SlowFetchers, ThatFindNoRoomTakeItFromNobody) {
  TrunkShelf shelf(loop_, 5 * kBlobChunkBytes);  // of trunks of three and a little
  shelf.serve(small_);
  from_ = &small_;
  std::vector<Fetcher> all;
  for (size_t i = 0; i < 4; ++i) {
    shelf.put(trunk_of(i));
    all.push_back(make(20 + i));
    EXPECT_EQ(begin(all[i]).ok(), i < 2) << i;
  }
  EXPECT_TRUE(begin(all[1]).ok()) << "it has begun anew, and has a place";
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(chunk(all[0], i).ok());
  EXPECT_TRUE(begin(all[2]).ok());
  EXPECT_TRUE(chunk(all[1], 0).ok());
}

// One that asks for the newest of each round, and for no more, has one place.
TEST_F(SlowFetchers, HaveNoMoreThanOnePlaceEach) {
  TrunkShelf shelf(loop_, 5 * kBlobChunkBytes);
  shelf.serve(small_);
  from_ = &small_;
  Fetcher hog = make(20), other = make(21);
  for (uint64_t round = 0; round < 8; ++round) {
    shelf.put(trunk_of(round));
    EXPECT_TRUE(begin(hog).ok());
  }
  shelf.put(trunk_of(8));
  EXPECT_TRUE(begin(other).ok());
  for (int i = 0; i < 6; ++i) {  // four chunks have 60 s
    loop_.run_for(10 * base::kSecondNs);
    EXPECT_TRUE(chunk(hog, 0).ok());
  }
  loop_.run_for(base::kSecondNs);
  shelf.put(trunk_of(9));
  EXPECT_TRUE(absl::IsUnavailable(chunk(hog, 0)));
}

TEST_F(SlowFetchers, ThatAskNoMoreAreForgotten) {
  Fetcher fetcher = make(20);
  shelf_.put(trunk_of(1));
  ASSERT_TRUE(begin(fetcher).ok());
  shelf_.put(trunk_of(2));
  loop_.run_for(kBlobChunkNsMax);
  shelf_.put(trunk_of(3));
  EXPECT_TRUE(chunk(fetcher, 0).ok()) << "it may still be fetching it";
  loop_.run_for(2 * kBlobChunkNsMax);
  shelf_.put(trunk_of(4));
  EXPECT_TRUE(absl::IsUnavailable(chunk(fetcher, 1)));
}

}  // namespace
}  // namespace agora::swarm
