#include "agora/swarm/wire/rows.h"

#include <limits>

#include <gtest/gtest.h>

namespace agora::swarm {
namespace {

// In int8 an infinity became a row of zeros: of a diverged expert the caller took no answer for an answer.
TEST(Rows, ThatAreNotFiniteAreRefusedByWhoReadsThem) {
  for (const RowDtype dtype : {RowDtype::f32, RowDtype::bf16, RowDtype::int8}) {
    for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN()}) {
      const float row[] = {1.0f, bad, 3.0f, -4.0f};
      std::vector<std::byte> bytes(row_block_bytes(dtype, 1, 4));
      write_rows(dtype, tensor::View<const float>(row, 1, 4), bytes.data());
      const RowBlock block{.dtype = dtype, .rows = 1, .cols = 4, .bytes = bytes};
      EXPECT_EQ(block.check().code(), absl::StatusCode::kInvalidArgument) << static_cast<int>(dtype) << bad;
    }
  }
}

}  // namespace
}  // namespace agora::swarm
