// Forward calls of many callers as one pass over the experts, and the pass's answer as one reply for each.
//
//   MixBatch batch(D);
//   batch.add(request);                  // InvalidArgument: rows that are not finite; not added then
//   StatusOr<HeldMix> mixed = batch.run(held);
//   Payload reply = batch.reply(i, *mixed, ticket);
//
// A row's answer does not depend on who shares the pass (design section 2), so callers never notice. One
// thread.
#pragma once

#include <cstdint>
#include <vector>

#include "agora/moe/batch_rows.h"
#include "agora/swarm/host/held_experts.h"
#include "agora/swarm/wire/mix_message.h"

namespace agora::swarm {

class MixBatch {
 public:
  explicit MixBatch(int64_t width) : width_(width) {}

  void clear();
  // All of one layer and one form of the answer; alone if it keeps for backward. Borrows the request's bytes
  // until run() is over. InvalidArgument: the request's own fault; the batch is as it was.
  Status add(const MixRequest& request);
  size_t size() const { return parts_.size(); }

  StatusOr<HeldMix> run(HeldExperts& held);
  peers::Payload reply(size_t part, const HeldMix& mixed, moe::Ticket ticket) const;

 private:
  struct Part {
    const MixRequest* request;
    int64_t first_row, rows;
    int64_t first_choice, choices;
  };

  int64_t width_;
  std::vector<Part> parts_;
  moe::Route route_;
  int64_t rows_ = 0;
  std::vector<float> gathered_;         // [rows_, D] of more than one caller, or of rows that were not f32
  tensor::View<const float> in_place_;  // of a single caller's f32 rows
  moe::BatchRows<float> answer_{tensor::Purpose::scratch};
};

}  // namespace agora::swarm
