#include "agora/swarm/host/ticket_table.h"

#include "agora/base/check.h"

namespace agora::swarm {

moe::Ticket TicketTable::add(const GivenTicket& given, int64_t now_ns, std::vector<moe::Ticket>& forgotten) {
  expire(now_ns, forgotten);
  if (of_peer_[given.owner] >= limits_.tickets_per_peer_max) forget_oldest(&given.owner, forgotten);
  while (!tickets_.empty() &&
         (tickets_.size() >= limits_.tickets_max || bytes_ + given.bytes > limits_.bytes_max)) {
    forget_oldest(nullptr, forgotten);
  }
  uint64_t number = 0;
  while (number == 0 || tickets_.contains(number)) number = rng_.next_u64();
  tickets_.emplace(number, Entry{given, ++last_order_, now_ns});
  by_age_.emplace(last_order_, number);
  ++of_peer_[given.owner];
  bytes_ += given.bytes;
  return moe::Ticket{number};
}

const GivenTicket* TicketTable::find(moe::Ticket ticket, const peers::PeerId& caller) const {
  const auto found = tickets_.find(ticket.value);
  if (found == tickets_.end() || found->second.given.owner != caller) return nullptr;
  return &found->second.given;
}

void TicketTable::remove(moe::Ticket ticket) {
  const auto found = tickets_.find(ticket.value);
  if (found == tickets_.end()) return;
  const GivenTicket& given = found->second.given;
  bytes_ -= given.bytes;
  const auto of_owner = of_peer_.find(given.owner);
  if (--of_owner->second == 0) of_peer_.erase(of_owner);
  by_age_.erase(found->second.order);
  tickets_.erase(found);
}

void TicketTable::expire(int64_t now_ns, std::vector<moe::Ticket>& forgotten) {
  while (!by_age_.empty()) {
    const Entry& oldest = tickets_.at(by_age_.begin()->second);
    if (now_ns - oldest.born_ns < limits_.age_ns_max) return;
    forget_oldest(nullptr, forgotten);
  }
}

void TicketTable::forget_oldest(const peers::PeerId* owner, std::vector<moe::Ticket>& forgotten) {
  for (const auto& [order, number] : by_age_) {
    const GivenTicket& given = tickets_.at(number).given;
    if (owner != nullptr && given.owner != *owner) continue;
    forgotten.push_back(given.kept);
    return remove(moe::Ticket{number});
  }
}

}  // namespace agora::swarm
