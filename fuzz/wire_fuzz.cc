// Any bytes as each of the mixture's messages; the first byte says which. What is accepted can be used: rows
// unpack and add up or are refused, routes are valid.
#include <cstddef>
#include <cstdint>

#include "agora/base/check.h"
#include "agora/swarm/wire/backward_message.h"
#include "agora/swarm/wire/blob.h"
#include "agora/swarm/wire/control_message.h"
#include "agora/swarm/wire/mix_message.h"
#include "agora/tensor/buffer.h"

namespace {

using namespace agora;         // NOLINT: a program of its own
using namespace agora::swarm;  // NOLINT

void use(const RowBlock& block) {
  tensor::Buffer<float> rows(block.rows, block.cols, tensor::Purpose::scratch);
  const bool finite = block.unpack(rows.view()).ok();
  AGORA_CHECK(block.check().ok() == finite);
  const auto in_place = block.in_place();
  AGORA_CHECK(finite || !in_place.ok() || !in_place->has_value());
  if (block.rows == 0) return;
  RowSum sum(rows.view());
  sum.add(block, block.rows - 1, 0);
  sum.end();
}

void use(const moe::Route& route, int64_t tokens) {
  AGORA_CHECK(validate(route, tokens, kWireExpertsMax).ok());
}

void read_any(uint8_t which, base::Bytes bytes) {
  switch (which % 7) {
    case 0:
      if (const auto m = read_mix_request(bytes); m.ok()) {
        use(m->route, m->x.rows);
        use(m->x);
      }
      return;
    case 1:
      if (const auto m = read_mix_reply(bytes); m.ok()) use(m->y);
      return;
    case 2:
      if (const auto m = read_backward_request(bytes); m.ok()) {
        use(m->dy);
        if (m->again) use(m->again->x);
        if (m->again) use(m->again->route, m->again->x.rows);
      }
      return;
    case 3:
      if (const auto m = read_backward_reply(bytes); m.ok()) use(m->dx);
      return;
    case 4:
      (void)read_release(bytes);
      return;
    case 5:
      (void)read_end_step(bytes);
      return;
    case 6:
      (void)read_blob_request(bytes);
      (void)read_blob_chunk(bytes);
      return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  read_any(data[0], std::as_bytes(std::span(data + 1, size - 1)));
  return 0;
}
