// What forward and backward of a remote mixture say to hosts, and how the hosts' answers become one sum.
//
//   ForwardExchange forward({...}, route, x);    remote.run(call, ...);
//   forward.sum(call, y);                                             // fixed order: see MixCall::summands()
//   forward.pieces(call);                                             // for backward: who keeps what
//
// A send carries each of its tokens' rows once. One thread.
#pragma once

#include <map>
#include <set>
#include <span>
#include <vector>

#include "agora/moe/experts.h"
#include "agora/moe/split.h"
#include "agora/swarm/remote_call.h"
#include "agora/swarm/wire/backward_message.h"
#include "agora/swarm/wire/mix_message.h"

namespace agora::swarm {

// Choices of the route as a route of their own, asking `experts` for them.
moe::RoutePart part_of(const moe::Route& route, std::span<const int32_t> choices,
                       std::span<const int32_t> experts);

// Rows of an answer, in the host's message until they are added up.
class AnswerRows {
 public:
  // InvalidArgument: not finite.
  Status hold(const RowBlock& block, const peers::Payload& message);
  const RowBlock& block() const { return block_; }

 private:
  peers::Payload message_;
  RowBlock block_;
};

// What a host keeps of a forward, for its backward.
struct KeptPiece {
  peers::PeerId host;
  peers::Endpoint at;
  moe::Ticket ticket;
  moe::RoutePart part;           // as it was sent
  std::vector<uint8_t> arrived;  // [choices of the part]
  peers::Payload sent;           // the message: it holds the part's rows, should the host lose them
};

class ForwardExchange final : public Exchange {
 public:
  // All borrowed.
  ForwardExchange(const MixRequestHead& head, const moe::Route& route, tensor::View<const float> x)
      : head_(head), route_(route), x_(x) {}

  peers::Payload message(const MixSend& send, bool again) override;
  StatusOr<std::vector<uint8_t>> take(const MixSend& send, const peers::Reply& reply) override;

  // y [T, D] is written whole.
  void sum(const MixCall& call, tensor::View<float> y) const;
  std::vector<KeptPiece> pieces(const MixCall& call);
  // Tickets of answers that are not in the sum, by send.
  std::vector<uint32_t> unused(const MixCall& call) const;
  moe::Ticket ticket(uint32_t send) const { return answers_.at(send).reply.ticket; }
  uint64_t version(uint32_t send, int32_t expert) const;

 private:
  struct Answer {
    moe::RoutePart part;
    peers::Payload sent;
    MixReply reply;  // its rows are in `rows`
    AnswerRows rows;
    bool came = false;
  };
  void sum_entries(const MixCall& call, tensor::View<float> y) const;

  MixRequestHead head_;
  const moe::Route& route_;
  tensor::View<const float> x_;
  std::map<uint32_t, Answer> answers_;  // by send
};

class BackwardExchange final : public Exchange {
 public:
  struct Forward {
    const moe::Route& route;
    const std::vector<KeptPiece>& pieces;  // their places are the numbers of the first sends
  };
  BackwardExchange(const BackwardHead& head, const Forward& forward, tensor::View<const float> dy)
      : head_(head), forward_(forward), dy_(dy) {}

  static std::vector<MixCall::Pinned> pinned(const std::vector<KeptPiece>& pieces);

  peers::Payload message(const MixSend& send, bool again) override;
  StatusOr<std::vector<uint8_t>> take(const MixSend& send, const peers::Reply& reply) override;

  // Both are written whole.
  void sum(const MixCall& call, tensor::View<float> dx, std::span<float> dweights) const;
  uint64_t updates_refused() const { return updates_refused_; }

 private:
  struct Answer {
    moe::RoutePart part;
    std::vector<float> dweights;
    AnswerRows dx;
  };
  const KeptPiece* piece_for(const MixSend& send) const;
  tensor::View<const float> rows_again();

  BackwardHead head_;
  Forward forward_;
  tensor::View<const float> dy_;
  tensor::Buffer<float> x_;  // [T, D] as they were sent; empty until a host asks for them again
  std::map<uint32_t, Answer> answers_;
  std::set<uint32_t> tickets_gone_;  // by piece
  uint64_t updates_refused_ = 0;
};

}  // namespace agora::swarm
