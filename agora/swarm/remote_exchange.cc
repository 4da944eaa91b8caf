#include "agora/swarm/remote_exchange.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "agora/base/check.h"

namespace agora::swarm {
namespace {

Status not_an_answer(const peers::PeerId& host, int64_t rows, int64_t cols, int64_t choices) {
  return absl::InvalidArgumentError(
      absl::StrFormat("host %s answered with %d rows of %d for %d choices: not what it was asked for",
                      host.brief(), rows, cols, choices));
}

}  // namespace

moe::RoutePart part_of(const moe::Route& route, std::span<const int32_t> choices,
                       std::span<const int32_t> experts) {
  moe::RoutePart part;
  part.route.first.push_back(0);
  int64_t token = 0;
  for (size_t i = 0; i < choices.size(); ++i) {
    while (route.first[token + 1] <= choices[i]) ++token;
    if (part.token.empty() || part.token.back() != token) {
      part.token.push_back(static_cast<int32_t>(token));
      part.route.first.push_back(part.route.first.back());
    }
    part.route.expert.push_back(experts[i]);
    part.route.weight.push_back(route.weight[choices[i]]);
    part.choice.push_back(choices[i]);
    ++part.route.first.back();
  }
  return part;
}

Status AnswerRows::hold(const RowBlock& block, const peers::Payload& message) {
  message_ = message;
  block_ = block;
  return block.check();
}

peers::Payload ForwardExchange::message(const MixSend& send, bool) {
  Answer& answer = answers_[send.send];
  answer.part = part_of(route_, send.choices, send.experts);
  answer.sent = encode(head_, answer.part.route, x_, answer.part.token);
  return answer.sent;
}

StatusOr<std::vector<uint8_t>> ForwardExchange::take(const MixSend& send, const peers::Reply& reply) {
  Answer& answer = answers_.at(send.send);
  AGORA_ASSIGN_OR_RETURN(answer.reply, read_mix_reply(reply.payload.bytes()));
  const MixReply& r = answer.reply;
  const size_t rows = head_.entries ? send.choices.size() : answer.part.token.size();
  if (r.entries != head_.entries || static_cast<size_t>(r.y.rows) != rows || r.y.cols != x_.cols ||
      r.arrived.size() != send.choices.size()) {
    return not_an_answer(reply.from, r.y.rows, r.y.cols, static_cast<int64_t>(r.arrived.size()));
  }
  AGORA_RETURN_IF_ERROR(answer.rows.hold(r.y, reply.payload));
  answer.came = true;
  return r.arrived;
}

void ForwardExchange::sum(const MixCall& call, tensor::View<float> y) const {
  if (head_.entries) return sum_entries(call, y);
  RowSum sum(y);
  for (const uint32_t send : call.summands()) {
    const Answer& answer = answers_.at(send);
    sum.add(answer.rows.block(), answer.part.token);
  }
  sum.end();
}

// Each token's entries in the order of its choices, whoever sent them.
void ForwardExchange::sum_entries(const MixCall& call, tensor::View<float> y) const {
  struct Entry {
    const RowBlock* block = nullptr;  // null: did not come
    int64_t row = 0;
  };
  std::vector<Entry> entries(static_cast<size_t>(route_.choices()));
  for (const uint32_t send : call.summands()) {
    const Answer& answer = answers_.at(send);
    for (size_t i = 0; i < answer.part.choice.size(); ++i) {
      if (answer.reply.arrived[i] == 0) continue;
      entries[answer.part.choice[i]] = {&answer.rows.block(), static_cast<int64_t>(i)};
    }
  }
  RowSum sum(y);
  for (int64_t t = 0; t < route_.tokens(); ++t) {
    for (int32_t i = route_.first[t]; i < route_.first[t + 1]; ++i) {
      if (entries[i].block != nullptr) sum.add(*entries[i].block, entries[i].row, t);
    }
  }
  sum.end();
}

std::vector<KeptPiece> ForwardExchange::pieces(const MixCall& call) {
  std::vector<KeptPiece> pieces;
  for (const uint32_t send : call.summands()) {
    Answer& answer = answers_.at(send);
    const MixSend& plan = call.send(send);
    pieces.push_back({plan.to, plan.at, answer.reply.ticket, std::move(answer.part), answer.reply.arrived,
                      std::move(answer.sent)});
  }
  return pieces;
}

std::vector<uint32_t> ForwardExchange::unused(const MixCall& call) const {
  const std::vector<uint32_t> used = call.summands();
  std::vector<uint32_t> unused;
  for (const auto& [send, answer] : answers_) {
    const bool kept = answer.came && answer.reply.ticket != moe::Ticket{};
    if (kept && std::find(used.begin(), used.end(), send) == used.end()) unused.push_back(send);
  }
  return unused;
}

uint64_t ForwardExchange::version(uint32_t send, int32_t expert) const {
  for (const auto& [id, version] : answers_.at(send).reply.versions) {
    if (id.value == expert) return version;
  }
  return 0;
}

std::vector<MixCall::Pinned> BackwardExchange::pinned(const std::vector<KeptPiece>& pieces) {
  std::vector<MixCall::Pinned> result;
  for (const KeptPiece& piece : pieces) {
    MixCall::Pinned pinned{piece.host, piece.at, {}};
    for (size_t i = 0; i < piece.part.choice.size(); ++i) {
      if (piece.arrived[i] != 0) pinned.choices.push_back(piece.part.choice[i]);
    }
    result.push_back(std::move(pinned));
  }
  return result;
}

peers::Payload BackwardExchange::message(const MixSend& send, bool again) {
  BackwardHead head = head_;
  head.key.part = send.origin;
  Answer& answer = answers_[send.send];
  if (again) tickets_gone_.insert(send.origin);
  if (const KeptPiece* piece = piece_for(send)) {
    // Under its ticket the host expects what it was sent, with what it could not serve.
    answer.part = piece->part;
    head.ticket = piece->ticket;
    head.choices = piece->part.route.choices();
    return encode(head, dy_, answer.part.token);
  }
  answer.part = part_of(forward_.route, send.choices, send.experts);
  head.choices = answer.part.route.choices();
  return encode(head, dy_, answer.part.token, RowsAgain{answer.part.route, rows_again()});
}

// Whose ticket the send can use: the whole piece goes to the host that keeps it. Null: it needs the rows.
const KeptPiece* BackwardExchange::piece_for(const MixSend& send) const {
  if (tickets_gone_.contains(send.origin)) return nullptr;
  const KeptPiece& piece = forward_.pieces[send.origin];
  const bool whole = std::ssize(send.choices) == std::ranges::count(piece.arrived, 1);
  return whole && piece.host == send.to ? &piece : nullptr;
}

// Rows that nobody was sent stay undefined: nobody is asked for them.
tensor::View<const float> BackwardExchange::rows_again() {
  if (x_.size() > 0) return x_.view();
  x_ = tensor::Buffer<float>::uninitialised(dy_.rows, dy_.cols, tensor::Purpose::scratch);
  for (const KeptPiece& piece : forward_.pieces) {
    const StatusOr<MixRequest> sent = read_mix_request(piece.sent.bytes());
    AGORA_CHECK(sent.ok());
    auto rows = tensor::Buffer<float>::uninitialised(sent->x.rows, sent->x.cols, tensor::Purpose::scratch);
    AGORA_CHECK(sent->x.unpack(rows.view()).ok());
    for (int64_t r = 0; r < rows.rows(); ++r)
      std::copy_n(rows.row(r), x_.cols(), x_.row(piece.part.token[r]));
  }
  return x_.view();
}

StatusOr<std::vector<uint8_t>> BackwardExchange::take(const MixSend& send, const peers::Reply& reply) {
  Answer& answer = answers_.at(send.send);
  AGORA_ASSIGN_OR_RETURN(BackwardReply r, read_backward_reply(reply.payload.bytes()));
  if (static_cast<size_t>(r.dx.rows) != answer.part.token.size() || r.dx.cols != dy_.cols ||
      r.dweights.size() != answer.part.choice.size()) {
    return not_an_answer(reply.from, r.dx.rows, r.dx.cols, static_cast<int64_t>(r.dweights.size()));
  }
  AGORA_RETURN_IF_ERROR(answer.dx.hold(r.dx, reply.payload));
  answer.dweights = std::move(r.dweights);
  const bool taken = r.outcome == UpdateOutcome::Kind::applied || r.outcome == UpdateOutcome::Kind::repeated;
  updates_refused_ += taken ? 0 : 1;
  return std::vector<uint8_t>(send.choices.size(), 1);
}

void BackwardExchange::sum(const MixCall& call, tensor::View<float> dx, std::span<float> dweights) const {
  RowSum sum(dx);
  std::fill(dweights.begin(), dweights.end(), 0.0f);
  for (const uint32_t send : call.summands()) {
    const Answer& answer = answers_.at(send);
    sum.add(answer.dx.block(), answer.part.token);
    size_t next = 0;  // of the send's choices, which are some of the part's
    const std::vector<int32_t>& choices = call.send(send).choices;
    for (size_t i = 0; i < answer.part.choice.size(); ++i) {
      if (next == choices.size() || answer.part.choice[i] != choices[next]) continue;
      dweights[answer.part.choice[i]] = answer.dweights[i];
      ++next;
    }
  }
  sum.end();
}

}  // namespace agora::swarm
