#include "agora/serve/answer_tally.h"

#include <algorithm>

namespace agora::serve {
namespace {

void count(const swarm::ServedChoice& served, AskSummary& summary) {
  switch (served.by) {
    case swarm::ServedBy::replica:
      ++summary.by_replica;
      break;
    case swarm::ServedBy::hedge:
      ++summary.by_hedge;
      break;
    case swarm::ServedBy::next_expert:
      ++summary.by_next_expert;
      break;
    case swarm::ServedBy::nobody:
      return;
  }
  const bool first = summary.by_replica + summary.by_hedge + summary.by_next_expert == 1;
  summary.expert_version_min = first ? served.version : std::min(summary.expert_version_min, served.version);
  summary.expert_version_max = std::max(summary.expert_version_max, served.version);
}

void add(const AskSummary& from, AskSummary& to) {
  const auto served = [](const AskSummary& s) { return s.by_replica + s.by_hedge + s.by_next_expert; };
  if (served(from) > 0) {
    to.expert_version_min =
        served(to) == 0 ? from.expert_version_min : std::min(to.expert_version_min, from.expert_version_min);
    to.expert_version_max = std::max(to.expert_version_max, from.expert_version_max);
  }
  to.by_replica += from.by_replica;
  to.by_hedge += from.by_hedge;
  to.by_next_expert += from.by_next_expert;
  to.lost += from.lost;
  to.gate_mass += from.gate_mass;
  to.gate_mass_lost += from.gate_mass_lost;
}

}  // namespace

void AnswerTally::begin(std::vector<Share> shares) {
  shares_ = std::move(shares);
  counted_.assign(shares_.size(), {});
  share_of_.clear();
  for (size_t i = 0; i < shares_.size(); ++i) {
    share_of_.insert(share_of_.end(), static_cast<size_t>(shares_[i].rows), i);
  }
}

void AnswerTally::commit() {
  for (size_t i = 0; i < shares_.size(); ++i) add(counted_[i], *shares_[i].summary);
  begin({});
}

void AnswerTally::observe(LayerId, const moe::MoeSaved& saved) {
  const moe::Route& route = saved.route;
  for (size_t t = 0; t < share_of_.size(); ++t) {
    AskSummary& summary = counted_[share_of_[t]];
    for (auto i = static_cast<size_t>(route.first[t]); i < static_cast<size_t>(route.first[t + 1]); ++i) {
      summary.gate_mass += double{route.weight[i]};
      if (saved.arrived[i] != 0) continue;
      summary.gate_mass_lost += double{route.weight[i]};
      ++summary.lost;
    }
  }
}

void AnswerTally::on_mix(LayerId, const moe::Route& route, std::span<const swarm::ServedChoice> served) {
  for (size_t t = 0; t < share_of_.size(); ++t) {
    for (auto i = static_cast<size_t>(route.first[t]); i < static_cast<size_t>(route.first[t + 1]); ++i) {
      count(served[i], counted_[share_of_[t]]);
    }
  }
}

}  // namespace agora::serve
