#include "agora/swarm/host/mix_batch.h"

#include <map>

#include "agora/base/check.h"

namespace agora::swarm {
namespace {

std::vector<ExpertVersion> versions_of(const moe::Route& route, std::span<const uint8_t> arrived,
                                       std::span<const uint64_t> version) {
  std::map<ExpertId, uint64_t> versions;
  for (size_t i = 0; i < arrived.size(); ++i) {
    if (arrived[i] != 0) versions.try_emplace(ExpertId(route.expert[i]), version[i]);
  }
  return {versions.begin(), versions.end()};
}

}  // namespace

void MixBatch::clear() {
  parts_.clear();
  route_ = {.first = {0}, .expert = {}, .weight = {}};
  rows_ = 0;
  gathered_.clear();
  in_place_ = {};
}

Status MixBatch::add(const MixRequest& request) {
  const int64_t rows = request.x.rows;
  if (parts_.empty()) {
    AGORA_ASSIGN_OR_RETURN(const auto in_place, request.x.in_place());
    if (in_place) in_place_ = *in_place;
  }
  if (in_place_.data == nullptr || !parts_.empty()) {
    if (in_place_.data != nullptr) gathered_.assign(in_place_.data, in_place_.data + in_place_.size());
    in_place_ = {};
    gathered_.resize(static_cast<size_t>((rows_ + rows) * width_));
    const Status unpacked = request.x.unpack({gathered_.data() + rows_ * width_, rows, width_});
    if (!unpacked.ok()) {
      gathered_.resize(static_cast<size_t>(rows_ * width_));
      return unpacked;
    }
  }
  const auto first_choice = static_cast<int32_t>(route_.choices());
  parts_.push_back({&request, rows_, rows, first_choice, request.route.choices()});
  for (int64_t t = 1; t <= rows; ++t) route_.first.push_back(first_choice + request.route.first[t]);
  route_.expert.insert(route_.expert.end(), request.route.expert.begin(), request.route.expert.end());
  route_.weight.insert(route_.weight.end(), request.route.weight.begin(), request.route.weight.end());
  rows_ += rows;
  return absl::OkStatus();
}

StatusOr<HeldMix> MixBatch::run(HeldExperts& held) {
  AGORA_CHECK(!parts_.empty());
  const MixRequestHead& head = parts_.front().request->head;
  const tensor::View<const float> x =
      in_place_.data != nullptr ? in_place_ : tensor::View<const float>(gathered_.data(), rows_, width_);
  const tensor::View<float> answer = answer_.shape(head.entries ? route_.choices() : rows_, width_);
  if (head.entries) return held.mix_entries(head.layer, x, route_, answer);
  return held.mix(head.layer, x, route_, head.keep, answer);
}

peers::Payload MixBatch::reply(size_t part, const HeldMix& mixed, moe::Ticket ticket) const {
  const Part& p = parts_[part];
  const auto arrived = std::span(mixed.arrived).subspan(p.first_choice, p.choices);
  const auto version = std::span(mixed.version).subspan(p.first_choice, p.choices);
  const bool entries = p.request->head.entries;
  const tensor::View<const float> rows =
      answer_.view().rows_from(entries ? p.first_choice : p.first_row, entries ? p.choices : p.rows);
  return encode({.ticket = ticket,
                 .entries = entries,
                 .arrived = {arrived.begin(), arrived.end()},
                 .versions = versions_of(p.request->route, arrived, version),
                 .y = {}},
                entries ? RowDtype::f32 : p.request->head.answer, rows);
}

}  // namespace agora::swarm
