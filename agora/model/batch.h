// What one pass through a model is given: sequences of equal length, row after row.
//
//   Batch batch{.batch = 8, .length = 256};   batch.tokens[b * 256 + i];   batch.targets[...]
//
// A value type; any thread.
#pragma once

#include <cstdint>
#include <vector>

namespace agora::model {

constexpr int32_t kNoTarget = -1;  // this position does not count

struct Batch {
  int64_t batch = 0;             // B sequences
  int64_t length = 0;            // S rows each; T = B * S
  std::vector<int32_t> tokens = {};   // [T] text
  std::vector<float> patches = {};    // [T, pixels] images
  std::vector<int32_t> targets = {};  // [T] next tokens, or [B] classes; kNoTarget does not count
  std::vector<int32_t> domains = {};  // [B]

  int64_t rows() const { return batch * length; }
};

}  // namespace agora::model
