#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "agora/swarm/wire/backward_message.h"
#include "agora/swarm/wire/blob.h"
#include "agora/swarm/wire/control_message.h"
#include "agora/swarm/wire/mix_message.h"
#include "agora/tensor/buffer.h"
#include "agora/tensor/dtype.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace agora::swarm {
namespace {

using Rows = tensor::Buffer<float>;

Rows any_rows(int64_t rows, int64_t cols) {
  Rows x(rows, cols, tensor::Purpose::scratch);
  for (float& value : x.flat()) value = static_cast<float>(*rc::gen::inRange(-100000, 100000)) / 777.0f;
  return x;
}

moe::Route any_route(int64_t tokens) {
  moe::Route route{.first = {0}, .expert = {}, .weight = {}};
  for (int64_t t = 0; t < tokens; ++t) {
    for (int32_t e = *rc::gen::inRange(0, 5); e < 9; e += *rc::gen::inRange(1, 6)) {
      route.expert.push_back(e);
      route.weight.push_back(static_cast<float>(*rc::gen::inRange(-1000, 1000)) / 7.0f);
    }
    route.first.push_back(static_cast<int32_t>(route.expert.size()));
  }
  return route;
}

std::vector<int32_t> every_second(int64_t rows) {
  std::vector<int32_t> which;
  for (int32_t r = 0; r < rows; r += 2) which.push_back(r);
  return which;
}

Rows unpacked(const RowBlock& block) {
  Rows rows(block.rows, block.cols, tensor::Purpose::scratch);
  EXPECT_TRUE(block.unpack(rows.view()).ok());
  return rows;
}

// Each row within what its dtype may lose.
void expect_close(tensor::View<const float> x, std::span<const int32_t> which, const RowBlock& block) {
  const Rows got = unpacked(block);
  for (int64_t r = 0; r < block.rows; ++r) {
    const float* row = x.row(which[r]);
    float largest = 0;
    for (int64_t d = 0; d < x.cols; ++d) largest = std::max(largest, std::abs(row[d]));
    for (int64_t d = 0; d < x.cols; ++d) {
      switch (block.dtype) {
        case RowDtype::f32:
          RC_ASSERT(got.row(r)[d] == row[d]);
          break;
        case RowDtype::bf16:
          RC_ASSERT(got.row(r)[d] == tensor::to_float(tensor::to_bf16(row[d])));
          break;
        case RowDtype::int8:
          RC_ASSERT(std::abs(got.row(r)[d] - row[d]) <= largest / 254.0f * 1.001f);
          break;
      }
    }
  }
}

// A copy whose every prefix, and whose every byte once changed, must be read or refused without harm.
template <class Read>
void expect_unharmed(const peers::Payload& message, const Read& read) {
  std::vector<std::byte> bytes(message.bytes().begin(), message.bytes().end());
  RC_ASSERT(read(base::Bytes(bytes)).ok());
  for (int i = 0; i < 20; ++i) {
    const size_t at = *rc::gen::inRange<size_t>(0, bytes.size());
    RC_ASSERT(!read(base::Bytes(bytes).first(at)).ok());
    const std::byte before = bytes[at];
    bytes[at] = static_cast<std::byte>(*rc::gen::inRange(0, 256));
    (void)read(base::Bytes(bytes));
    bytes[at] = before;
  }
  bytes.push_back(std::byte{0});
  RC_ASSERT(!read(base::Bytes(bytes)).ok());
}

RC_GTEST_PROP(Wire, MixRequestComesAsItWent, ()) {
  const int64_t tokens = *rc::gen::inRange(1, 9), width = *rc::gen::inRange(1, 20);
  const Rows x = any_rows(tokens, width);
  const std::vector<int32_t> which = every_second(tokens);
  const moe::Route route = any_route(static_cast<int64_t>(which.size()));
  const bool entries = *rc::gen::arbitrary<bool>();
  const MixRequestHead head{.layer = LayerId(*rc::gen::inRange(0, 100)),
                            .keep = entries ? moe::Keep::nothing : moe::Keep::for_backward,
                            .entries = entries,
                            .rows = static_cast<RowDtype>(*rc::gen::inRange(0, 3)),
                            .answer = RowDtype::bf16};
  const peers::Payload message = encode(head, route, x.view(), which);
  const auto read = read_mix_request(message.bytes());
  RC_ASSERT(read.ok());
  RC_ASSERT(read->head.layer == head.layer);
  RC_ASSERT(read->head.keep == head.keep);
  RC_ASSERT(read->head.entries == head.entries);
  RC_ASSERT(read->head.answer == head.answer);
  RC_ASSERT(read->route.first == route.first);
  RC_ASSERT(read->route.expert == route.expert);
  RC_ASSERT(read->route.weight == route.weight);
  expect_close(x.view(), which, read->x);
  if (head.rows == RowDtype::f32) RC_ASSERT(read->x.in_place()->has_value());
  expect_unharmed(message, read_mix_request);
}

RC_GTEST_PROP(Wire, MixReplyComesAsItWent, ()) {
  const int64_t rows = *rc::gen::inRange(0, 9), width = *rc::gen::inRange(1, 20);
  const Rows y = any_rows(rows, width);
  MixReply reply{.ticket = {*rc::gen::arbitrary<uint64_t>()},
                 .entries = *rc::gen::arbitrary<bool>(),
                 .arrived = {},
                 .versions = {},
                 .y = {}};
  const int64_t choices = reply.entries ? rows : *rc::gen::inRange<int64_t>(0, 30);
  for (int64_t i = 0; i < choices; ++i) reply.arrived.push_back(*rc::gen::arbitrary<bool>() ? 1 : 0);
  for (int32_t e = 0; e < 3; ++e) reply.versions.emplace_back(ExpertId(e), *rc::gen::arbitrary<uint64_t>());
  const peers::Payload message = encode(reply, RowDtype::f32, y.view());
  const auto read = read_mix_reply(message.bytes());
  RC_ASSERT(read.ok());
  RC_ASSERT(read->ticket == reply.ticket);
  RC_ASSERT(read->entries == reply.entries);
  RC_ASSERT(read->arrived == reply.arrived);
  RC_ASSERT(read->versions == reply.versions);
  const Rows got = unpacked(read->y);
  RC_ASSERT(std::equal(got.flat().begin(), got.flat().end(), y.flat().begin(), y.flat().end()));
  expect_unharmed(message, read_mix_reply);
}

RC_GTEST_PROP(Wire, BackwardRequestComesAsItWent, ()) {
  const int64_t tokens = *rc::gen::inRange(1, 9), width = *rc::gen::inRange(1, 20);
  const Rows x = any_rows(tokens, width), dy = any_rows(tokens, width);
  const std::vector<int32_t> which = every_second(tokens);
  const moe::Route route = any_route(static_cast<int64_t>(which.size()));
  BackwardHead head;
  head.ticket = {*rc::gen::arbitrary<uint64_t>()};
  head.key.run = *rc::gen::arbitrary<uint64_t>();
  head.key.step = *rc::gen::arbitrary<uint64_t>();
  head.key.micro_batch = *rc::gen::arbitrary<uint32_t>();
  head.key.part = *rc::gen::arbitrary<uint32_t>();
  head.key.layer = LayerId(*rc::gen::inRange(0, 100));
  head.rows = static_cast<RowDtype>(*rc::gen::inRange(0, 3));
  head.choices = route.choices();
  const bool again = *rc::gen::arbitrary<bool>();
  const peers::Payload message =
      again ? encode(head, dy.view(), which, RowsAgain{route, x.view()}) : encode(head, dy.view(), which);
  const auto read = read_backward_request(message.bytes());
  RC_ASSERT(read.ok());
  RC_ASSERT(read->head.ticket == head.ticket);
  RC_ASSERT(read->head.key == head.key);
  RC_ASSERT(read->head.choices == head.choices);
  expect_close(dy.view(), which, read->dy);
  RC_ASSERT(read->again.has_value() == again);
  if (again) {
    RC_ASSERT(read->again->route.expert == route.expert);
    expect_close(x.view(), which, read->again->x);
  }
  expect_unharmed(message, read_backward_request);
}

RC_GTEST_PROP(Wire, BackwardReplyComesAsItWent, ()) {
  const int64_t tokens = *rc::gen::inRange(0, 9), width = *rc::gen::inRange(1, 20);
  const Rows dx = any_rows(tokens, width);
  const std::vector<float> dweights(*rc::gen::inRange<size_t>(0, 20), 0.5f);
  const peers::Payload message =
      encode_backward_reply(UpdateOutcome::Kind::too_old, dweights, RowDtype::f32, dx.view());
  const auto read = read_backward_reply(message.bytes());
  RC_ASSERT(read.ok());
  RC_ASSERT(read->outcome == UpdateOutcome::Kind::too_old);
  RC_ASSERT(read->dweights == dweights);
  RC_ASSERT(unpacked(read->dx).size() == dx.size());
  expect_unharmed(message, read_backward_reply);
}

TEST(Wire, SmallMessagesComeAsTheyWent) {
  const std::vector<moe::Ticket> tickets = {{1}, {UINT64_MAX}};
  EXPECT_EQ(*read_release(encode_release(tickets).bytes()), tickets);

  EndStep step;
  step.key.run = 3;
  step.key.step = 4;
  step.settings = moe::StepSettings{.step = 5, .learning_rate = 0.25f};
  const auto read = read_end_step(encode_end_step(step).bytes());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->key, step.key);
  EXPECT_EQ(read->settings.value().step, 5);
  EXPECT_EQ(read->settings->learning_rate, 0.25f);
  step.settings->beta2 = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(read_end_step(encode_end_step(step).bytes()).status().code(), absl::StatusCode::kInvalidArgument);
  step.settings.reset();
  const auto given_up = read_end_step(encode_end_step(step).bytes());
  ASSERT_TRUE(given_up.ok()) << given_up.status();
  EXPECT_EQ(given_up->key, step.key);
  EXPECT_FALSE(given_up->settings);

  const BlobRequest request{.key = "layer 3", .offset = 77, .bytes_max = 5};
  const auto blob = read_blob_request(encode(request).bytes());
  ASSERT_TRUE(blob.ok());
  EXPECT_EQ(blob->key, request.key);
  EXPECT_EQ(blob->offset, request.offset);
}

TEST(Wire, AnotherVersionIsRefusedByName) {
  std::vector<std::byte> bytes(64);
  bytes[0] = std::byte{kWireVersion + 1};
  const Status status = read_mix_request(bytes).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("version"));
}

TEST(Wire, ClaimsAreCheckedBeforeMemoryIsAskedFor) {
  const Rows x(1, 4, tensor::Purpose::scratch);
  const moe::Route route{.first = {0, 1}, .expert = {0}, .weight = {1}};
  const std::vector<int32_t> which = {0};
  const peers::Payload message = encode(MixRequestHead{}, route, x.view(), which);
  for (const size_t field : {8u, 12u, 16u}) {  // rows, width, choices
    for (const uint32_t claim : {0u, 2u, 60000u, 1u << 20, UINT32_MAX}) {
      std::vector<std::byte> bytes(message.bytes().begin(), message.bytes().end());
      base::store_le(claim, bytes.data() + field);
      EXPECT_EQ(read_mix_request(bytes).status().code(), absl::StatusCode::kInvalidArgument)
          << field << " " << claim;
    }
  }
}

RC_GTEST_PROP(Wire, RowsAddUpInTheOrderOfTheCalls, ()) {
  const auto rows = *rc::gen::inRange<int64_t>(1, 9), cols = *rc::gen::inRange<int64_t>(1, 70);
  Rows sum(rows, cols, tensor::Purpose::scratch), expected(rows, cols, tensor::Purpose::scratch);
  std::ranges::fill(sum.flat(), 7.0f);  // what lies there before does not count
  RowSum adder(sum.view());
  for (int block = *rc::gen::inRange(0, 4); block > 0; --block) {
    const auto dtype = *rc::gen::element(RowDtype::f32, RowDtype::bf16, RowDtype::int8);
    Rows x = any_rows(rows, cols);
    if (*rc::gen::arbitrary<bool>()) x.row(0)[0] = -0.0f;
    const std::vector<int32_t> which = every_second(rows);
    std::vector<std::byte> bytes(row_block_bytes(dtype, std::ssize(which), cols));
    write_rows(dtype, x.view(), which, bytes.data());
    const RowBlock packed{.dtype = dtype, .rows = std::ssize(which), .cols = cols, .bytes = bytes};
    const Rows values = unpacked(packed);
    RC_ASSERT(packed.check().ok());
    adder.add(packed, which);
    for (size_t r = 0; r < which.size(); ++r) {
      for (int64_t d = 0; d < cols; ++d) expected.row(which[r])[d] += values.row(static_cast<int64_t>(r))[d];
    }
  }
  adder.end();
  for (int64_t i = 0; i < sum.size(); ++i) {
    RC_ASSERT(std::bit_cast<uint32_t>(sum.flat()[i]) == std::bit_cast<uint32_t>(expected.flat()[i]));
  }
}

TEST(Wire, RowsThatAreNotFiniteAreNamed) {
  Rows x(3, 4, tensor::Purpose::scratch);
  x.row(2)[1] = std::numeric_limits<float>::infinity();
  const std::vector<int32_t> which = {0, 1, 2};
  const moe::Route route{.first = {0, 0, 0, 0}, .expert = {}, .weight = {}};
  for (const RowDtype dtype : {RowDtype::f32, RowDtype::bf16}) {
    const peers::Payload message = encode(MixRequestHead{.rows = dtype}, route, x.view(), which);
    const auto request = read_mix_request(message.bytes());
    ASSERT_TRUE(request.ok()) << request.status();
    Rows to(3, 4, tensor::Purpose::scratch);
    EXPECT_THAT(std::string(request->x.unpack(to.view()).message()), testing::HasSubstr("row 2"));
    EXPECT_THAT(std::string(request->x.check().message()), testing::HasSubstr("row 2"));
    EXPECT_EQ(request->x.in_place().ok(), dtype == RowDtype::bf16);
  }
}

TEST(Wire, TheSmallestRowsSurviveInt8) {
  Rows x(2, 3, tensor::Purpose::scratch);
  x.row(0)[0] = 1e-44f;
  x.row(1)[0] = -3e38f;
  x.row(1)[2] = 3e38f;
  std::vector<std::byte> bytes(row_block_bytes(RowDtype::int8, 2, 3));
  write_rows(RowDtype::int8, x.view(), bytes.data());
  const Rows got = unpacked({.dtype = RowDtype::int8, .rows = 2, .cols = 3, .bytes = bytes});
  EXPECT_EQ(got.row(0)[0], 0.0f);
  EXPECT_NEAR(got.row(1)[0] / 3e38f, -1.0f, 1e-6f);
  EXPECT_NEAR(got.row(1)[2] / 3e38f, 1.0f, 1e-6f);
}

// Nobody of ours writes -128, and with the greatest scales it is an infinity.
TEST(Wire, AnInt8RowIsFiniteWhateverItsBytes) {
  const float scale = 3.4e38f / 127.0f;
  std::vector<std::byte> bytes(row_block_bytes(RowDtype::int8, 1, 3), std::byte{0x80});
  std::memcpy(bytes.data(), &scale, sizeof scale);
  const RowBlock block{.dtype = RowDtype::int8, .rows = 1, .cols = 3, .bytes = bytes};
  EXPECT_EQ(block.check().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace agora::swarm
