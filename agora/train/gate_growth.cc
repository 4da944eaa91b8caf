#include "agora/train/gate_growth.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "agora/swarm/host/expert_store.h"
#include "agora/swarm/host/host_messages.h"
#include "agora/swarm/wire/method.h"

namespace agora::train {
namespace {

using swarm::ExpertName;

constexpr int64_t kCensusNs = base::kSecondNs;  // hosts say something new about as often
constexpr int64_t kRetireNs = 5 * base::kSecondNs;

struct Peer {
  peers::PeerId peer;
  peers::Endpoint endpoint;
};

// Who leads it; else any host: each passes on what was retired.
std::optional<Peer> host_to_ask(const std::vector<std::shared_ptr<const peers::Record>>& records,
                                ExpertName expert) {
  std::optional<Peer> any;
  for (const auto& record : records) {
    const auto state = swarm::decode_peer_state(record->body);
    if (!state.ok() || !state->host) continue;
    for (const swarm::HeldRange& range : state->held) {
      const int64_t place = int64_t{expert.expert.value} - range.first;
      if (range.leads && range.layer == expert.layer && place >= 0 && place < range.count) {
        return Peer{record->peer, record->endpoint};
      }
    }
    if (!any) any = Peer{record->peer, record->endpoint};
  }
  return any;
}

}  // namespace

void GateGrowth::close_room() {
  for (int64_t l = 0; l < spec_.layers; ++l) {
    moe::MoeLayer& mixture = trunk_.block(LayerId{l}).mixture();
    const std::span<float> entry = mixture.gate().entry_bias()->value.flat();
    std::fill(entry.begin() + spec_.experts, entry.end(), moe::kClosed);
    mixture.repack(compute_);
  }
}

void GateGrowth::begin(int64_t step) {
  for (int64_t l = 0; l < spec_.layers; ++l) {
    const std::span<const float> entry = trunk_.block(LayerId{l}).mixture().gate().entry_bias()->value.flat();
    for (int64_t e = 0; e < spec_.experts_max; ++e) {
      growth_.on_trunk({LayerId{l}, ExpertId{e}}, entry[static_cast<size_t>(e)], step);
    }
  }
  after_step(step);
}

void GateGrowth::after_step(int64_t step) {
  const int64_t now_ns = place_.loop.now_ns();
  if (now_ns >= next_census_ns_) {
    next_census_ns_ = now_ns + kCensusNs;
    growth_.on_census(swarm::take_census(place_.directory.records(), spec_), step);
    ask_to_retire();
  }
  apply(step);
}

void GateGrowth::apply(int64_t step) {
  for (int64_t l = 0; l < spec_.layers; ++l) {
    if (set_entry(LayerId{l}, step)) trunk_.block(LayerId{l}).mixture().repack(compute_);
  }
}

// True: the gate is to be packed anew.
bool GateGrowth::set_entry(LayerId layer, int64_t step) {
  moe::MoeLayer& mixture = trunk_.block(layer).mixture();
  const std::span<float> entry = mixture.gate().entry_bias()->value.flat();
  bool changed = false;
  for (int64_t e = 0; e < spec_.experts_max; ++e) {
    const ExpertName name{layer, ExpertId{e}};
    const float bias = growth_.bias(name, step);
    changed = changed || bias != entry[static_cast<size_t>(e)];
    entry[static_cast<size_t>(e)] = bias;
    if (!growth_.tied(name, step)) continue;
    mixture.gate().seat_expert(
        {.expert = name.expert, .source = growth_.source(name), .deviation = mixture.config().deviation},
        swarm::first_weights(spec_).fork(static_cast<uint64_t>(e)));
  }
  return changed;
}

bool GateGrowth::decides() const {
  const auto records = place_.directory.records();
  return std::ranges::none_of(records, [&](const auto& record) {
    const auto state = swarm::decode_peer_state(record->body);
    return state.ok() && state->trainer && record->peer < place_.transport.self();
  });
}

// By the last step's rows.
std::set<ExpertName> GateGrowth::idle() const {
  std::set<ExpertName> idle;
  for (int64_t l = 0; l < spec_.layers; ++l) {
    const std::span<const int64_t> loads = trunk_.block(LayerId{l}).mixture().loads();
    for (int64_t e = 0; e < spec_.experts_max; ++e) {
      if (loads[static_cast<size_t>(e)] == 0) idle.insert({LayerId{l}, ExpertId{e}});
    }
  }
  return idle;
}

std::vector<ExpertName> GateGrowth::on_validation(double loss, int64_t step) {
  const std::vector<ExpertName> undone =
      growth_.on_validation(loss, step, decides() ? swarm::Decides::yes : swarm::Decides::no, idle());
  if (undone.empty()) return undone;
  ask_to_retire();
  apply(step);
  return undone;
}

// Nobody can train with it, so nobody waits for who decides.
bool GateGrowth::on_broken_step(int64_t step) {
  if (!growth_.watches(step)) return false;
  growth_.on_validation(std::numeric_limits<double>::quiet_NaN(), step, swarm::Decides::yes);
  ask_to_retire();
  apply(step);
  return true;
}

void GateGrowth::ask_to_retire() {
  const std::vector<ExpertName> bad = growth_.to_retire();
  if (bad.empty()) return;
  const auto records = place_.directory.records();
  for (const ExpertName expert : bad) {
    const std::optional<Peer> host = host_to_ask(records, expert);
    if (!host) continue;
    place_.transport.call({.to = host->peer,
                           .at = host->endpoint,
                           .method = swarm::kRetireExpert,
                           .priority = peers::Priority::background,
                           .deadline_ns = place_.loop.now_ns() + kRetireNs},
                          swarm::encode_expert(expert), [](const peers::Reply&) {});
  }
}

}  // namespace agora::train
