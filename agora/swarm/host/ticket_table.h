// The tickets that a host has given out: whose they are, what they stand for, and when they are forgotten.
//
//   Ticket t = table.add({.owner = caller, .kept = held_ticket, ...}, now_ns, forgotten);
//   const GivenTicket* given = table.find(t, caller);     // nullptr: unknown, expired, or another's
//
// The numbers on the wire are drawn at random: nobody can guess another's, and find() would not give it
// anyway. The oldest go first when there are too many, for one owner or in all, or when they keep too many
// bytes. What goes is appended to `forgotten`, for the caller to release. A pure state machine; one thread at
// a time.
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "agora/base/ids.h"
#include "agora/base/rng.h"
#include "agora/moe/experts.h"
#include "agora/peers/peer_id.h"

namespace agora::swarm {

struct TicketLimits {
  size_t tickets_max = 4096;
  size_t tickets_per_peer_max = 1024;  // 8 micro-batches in flight of 100 layers
  int64_t bytes_max = int64_t{2} << 30;
  int64_t age_ns_max = 300'000'000'000;  // a trainer that takes longer sends its rows again
};

struct GivenTicket {
  peers::PeerId owner;
  moe::Ticket kept;  // of the held experts
  LayerId layer;
  int64_t rows = 0;
  int64_t choices = 0;
  int64_t bytes = 0;  // that it keeps, about
};

class TicketTable {
 public:
  TicketTable(const TicketLimits& limits, Rng rng) : limits_(limits), rng_(rng) {}

  moe::Ticket add(const GivenTicket& given, int64_t now_ns, std::vector<moe::Ticket>& forgotten);
  const GivenTicket* find(moe::Ticket ticket, const peers::PeerId& caller) const;
  void remove(moe::Ticket ticket);
  void expire(int64_t now_ns, std::vector<moe::Ticket>& forgotten);

  size_t size() const { return tickets_.size(); }

 private:
  struct Entry {
    GivenTicket given;
    uint64_t order = 0;
    int64_t born_ns = 0;
  };
  void forget_oldest(const peers::PeerId* owner, std::vector<moe::Ticket>& forgotten);

  TicketLimits limits_;
  Rng rng_;
  std::unordered_map<uint64_t, Entry> tickets_;
  std::map<uint64_t, uint64_t> by_age_;  // order -> ticket
  std::unordered_map<peers::PeerId, size_t> of_peer_;
  uint64_t last_order_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace agora::swarm
