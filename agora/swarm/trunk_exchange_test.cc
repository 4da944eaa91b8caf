#include "agora/swarm/trunk_exchange.h"

#include <string>

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
  EXPECT_TRUE(absl::IsResourceExhausted(found_->status())) << found_->status();
}

TEST_F(TrunkExchangeTest, ATrunkThatNobodyFetchesAnyMoreIsLetGo) {
  const auto fetch = [this](std::string key) {
    StatusOr<peers::Payload> found = absl::UnknownError("no answer");
    const peers::CallSettings settings{.to = giver_.self(),
                                       .at = giver_.endpoint(),
                                       .method = kGetTrunk,
                                       .deadline_ns = loop_.now_ns() + base::kSecondNs};
    fetch_blob(taker_, loop_, settings, std::move(key), kNumbers * sizeof(float) * 2,
               [&](StatusOr<peers::Payload> bytes) { found = std::move(bytes); });
    loop_.run_for(base::kSecondNs);
    return found;
  };
  shelf_.put(trunk_of(1));
  const auto name = fetch("values");
  ASSERT_TRUE(name.ok()) << name.status();
  const std::string key(base::as_text(name->bytes()));
  shelf_.put(trunk_of(2));
  loop_.run_for(kBlobChunkNsMax);
  shelf_.put(trunk_of(3));
  EXPECT_TRUE(fetch(key).ok()) << "somebody may still be fetching it";
  loop_.run_for(2 * kBlobChunkNsMax);
  shelf_.put(trunk_of(4));
  EXPECT_TRUE(absl::IsNotFound(fetch(key).status()));
}

}  // namespace
}  // namespace agora::swarm
