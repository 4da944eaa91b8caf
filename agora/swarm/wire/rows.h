// Rows as they travel: f32, bf16, or int8 with a scale for each row.
//
//   write_rows(RowDtype::bf16, x, tokens, out.claim(row_block_bytes(RowDtype::bf16, tokens.size(), D)));
//   AGORA_ASSIGN_OR_RETURN(RowBlock block, read_row_block(in, dtype, rows, cols, "mix"));
//   AGORA_RETURN_IF_ERROR(block.unpack(to));                                  // or check() it, and
//   RowSum sum(y.view());  sum.add(block, tokens);  sum.end();                // add it up where it lies
//
// A block: f32 and bf16 are the rows one after the other; int8 is f32 scale[rows], then the rows, an element
// being scale * its byte, -127 to 127. Bytes for N rows of D: 4 N D, 2 N D, N (D + 4). Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "agora/base/bytes.h"
#include "agora/base/result.h"
#include "agora/tensor/view.h"

namespace agora::swarm {

enum class RowDtype : uint8_t { f32, bf16, int8 };

size_t row_block_bytes(RowDtype dtype, int64_t rows, int64_t cols);

// Rows `which` of x, or all of them. bf16 rounds to nearest, ties to even. One that holds a NaN or an
// infinity is one that its reader refuses.
void write_rows(RowDtype dtype, tensor::View<const float> x, std::byte* to);
void write_rows(RowDtype dtype, tensor::View<const float> x, std::span<const int32_t> which, std::byte* to);

// Rows that lie in somebody's message.
struct RowBlock {
  RowDtype dtype = RowDtype::f32;
  int64_t rows = 0;
  int64_t cols = 0;
  base::Bytes bytes;

  // InvalidArgument naming the row that holds a NaN or an infinity.
  Status check() const;
  // to [rows, cols]; checked too, and `to` is undefined where a row is not finite.
  Status unpack(tensor::View<float> to) const;
  // The rows where they lie, if they are f32 and aligned; checked.
  StatusOr<std::optional<tensor::View<const float>>> in_place() const;
};

// Rows of blocks added up, each element in the order of the calls, from 0.
//
//   RowSum sum(y.view());   sum.add(block, tokens);   sum.end();      // y is written whole, and only once
class RowSum {
 public:
  explicit RowSum(tensor::View<float> sum) : sum_(sum), begun_(static_cast<size_t>(sum.rows), 0) {}

  void add(const RowBlock& block, int64_t row, int64_t to_row);
  // Row r of the block to row to_rows[r].
  void add(const RowBlock& block, std::span<const int32_t> to_rows);
  // Rows to which nothing was added.
  void end();

 private:
  tensor::View<float> sum_;
  std::vector<uint8_t> begun_;  // [rows]
};

// x.rows when all are finite.
int64_t first_row_not_finite(tensor::View<const float> x);

// Takes the block off the reader. InvalidArgument: unknown dtype, too short.
StatusOr<RowBlock> read_row_block(base::ByteReader& in, uint8_t dtype, int64_t rows, int64_t cols,
                                  std::string_view message);

}  // namespace agora::swarm
