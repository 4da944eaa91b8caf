#include "agora/sim/compute_loop.h"

#include <gtest/gtest.h>

namespace agora::sim {
namespace {

using base::kMillisecondNs;

class ComputeLoopTest : public testing::Test {
 protected:
  static constexpr int64_t kPieceNs = 100 * kMillisecondNs;

  void work() {
    compute.spend(kPieceNs);
    ended_ms.push_back(loop->world_now_ns() / kMillisecondNs);
  }

  base::VirtualLoop world;
  Fibers fibers;
  std::shared_ptr<PeerLoop> loop = std::make_shared<PeerLoop>(world, fibers, PeerClock{});
  ComputeLoop compute{loop};
  std::vector<int64_t> ended_ms;
};

TEST_F(ComputeLoopTest, PiecesTakeTheirTimeOneAfterTheOther) {
  for (int i = 0; i < 3; ++i) compute.post([this] { work(); });
  world.run_for(10 * kPieceNs);
  EXPECT_EQ(ended_ms, (std::vector<int64_t>{100, 200, 300}));
}

// As a host's service does while calls wait.
TEST_F(ComputeLoopTest, APieceThatPostsTheNextBeforeItsWorkIsNoExceptionToThat) {
  int left = 10;
  std::function<void()> piece = [&] {
    if (--left > 0) compute.post(piece);
    work();
  };
  compute.post(piece);
  world.run_for(20 * kPieceNs);
  EXPECT_EQ(ended_ms, (std::vector<int64_t>{100, 200, 300, 400, 500, 600, 700, 800, 900, 1000}));
  EXPECT_EQ(compute.busy_ns(), 10 * kPieceNs);
}

}  // namespace
}  // namespace agora::sim
