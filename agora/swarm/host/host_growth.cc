// Experts that come and go by a person's wish: `agora expert add`, `agora expert retire`.
#include <algorithm>
#include <map>
#include <utility>

#include "agora/base/text.h"
#include "agora/swarm/host/host_state.h"
#include "agora/swarm/host/snapshot.h"

namespace agora::swarm {
namespace {

// What does not come is asked for again: its host may have as many copies out as it keeps, hand over, or have
// gone, and another leads by then.
constexpr int64_t kSourceAgainNs = 1'000'000'000;
constexpr int64_t kSourcePatienceNs = 60'000'000'000;  // then it is given up

}  // namespace

// What one call adds. All of it is made, one after the other, before any of it is led: all comes or nothing.
struct Host::State::NewExperts {
  std::shared_ptr<peers::IncomingCall> call;
  AddExpert request;
  std::vector<ExpertName> names;
  size_t made = 0;                              // of these
  std::map<ExpertName, ExpertId> sources = {};  // of those that are copies
  int64_t begun_ns = 0;                         // the one that is being made
};

void Host::State::add_experts(const std::shared_ptr<peers::IncomingCall>& call) {
  const StatusOr<AddExpert> request = read_add_expert(call->payload().bytes());
  if (!request.ok()) return call->reply(request.status());
  if (request->layer >= spec.layers) {
    return call->reply(absl::InvalidArgumentError(base::concat(
        "expected a layer from 0 to ", spec.layers - 1, ", or -1 for every layer, got ", request->layer)));
  }
  if (leaving || static_holdings()) {
    return call->reply(absl::FailedPreconditionError(
        "this host takes no new experts (it leaves, or holds a fixed list); ask another"));
  }
  const StatusOr<std::vector<ExpertName>> names = take_names(request->layer);
  if (!names.ok()) return call->reply(names.status());
  make_next(std::make_shared<NewExperts>(
      NewExperts{.call = call, .request = *request, .names = *names, .begun_ns = loop.now_ns()}));
}

// One in the layer, or, below 0, in every layer: all of them or none.
StatusOr<std::vector<ExpertName>> Host::State::take_names(int32_t layer) {
  const int64_t first = std::max(layer, 0);
  const int64_t end = layer < 0 ? spec.layers : first + 1;
  if (room() < end - first) {
    return absl::ResourceExhaustedError(base::concat(
        "expected room for ", end - first, " more, this host has room for ", room(), "; ask another"));
  }
  std::vector<ExpertName> names;
  for (int64_t l = first; l < end; ++l) {
    AGORA_ASSIGN_OR_RETURN(const ExpertName name, free_name(LayerId{l}));
    names.push_back(name);
  }
  for (const ExpertName name : names) own[name].since_ns = loop.now_ns();
  return names;
}

// A host gives few copies at a time.
void Host::State::make_next(const std::shared_ptr<NewExperts>& added) {
  const Status may = may_begin_new(*added);
  if (!may.ok()) return undo(*added, may);
  if (added->made == added->names.size()) return begin_new(*added);
  const ExpertName name = added->names[added->made];
  const Done done = [this, added](const Status& made) {
    if (absl::IsUnavailable(made) && loop.now_ns() - added->begun_ns < kSourcePatienceNs) {
      after(kSourceAgainNs, [added](State& self) { self.make_next(added); });
      return;
    }
    if (!made.ok()) return undo(*added, made);
    ++added->made;
    added->begun_ns = loop.now_ns();
    make_next(added);
  };
  const AddExpert& request = added->request;
  if (request.from == AddExpert::From::nothing) return make_first(name, done);
  const StatusOr<ExpertName> source = source_of(request, name.layer);
  if (!source.ok()) return undo(*added, source.status());
  added->sources[name] = source->expert;
  make_copy(*source, name, request.deviation, done);
}

// Copies take their time. Meanwhile the caller, this host or a number may have gone.
Status Host::State::may_begin_new(const NewExperts& added) const {
  if (is_over(*added.call)) return absl::DeadlineExceededError("nobody waits for the new experts any more");
  if (leaving) return absl::FailedPreconditionError("this host leaves; ask another");
  for (const ExpertName name : added.names) {
    const auto mine = own.find(name);
    if (mine != own.end() && !mine->second.ready && !holders.seen(name) && !retired.contains(name)) continue;
    return absl::AbortedError(base::concat("layer ", name.layer.value, " expert ", name.expert.value,
                                           " was retired, or another host added it, while it was made here; "
                                           "try again"));
  }
  return absl::OkStatus();
}

void Host::State::undo(const NewExperts& added, const Status& status) {
  for (const ExpertName name : added.names) {
    const auto mine = own.find(name);
    if (mine != own.end() && mine->second.ready) continue;  // another host's of that number
    own.erase(name);
    let_go(name);
  }
  added.call->reply(status);
}

void Host::State::make_first(ExpertName name, const Done& done) {
  in_executor(
      [this, name] {
        held.adopt(name);
        return absl::OkStatus();
      },
      [done](State&, const Status& made) { done(made); });
}

StatusOr<ExpertName> Host::State::source_of(const AddExpert& request, LayerId layer) const {
  if (request.from == AddExpert::From::given) return ExpertName{layer, request.source};
  if (request.from == AddExpert::From::nearest) {
    StatusOr<ExpertName> held_here = busiest(layer, true);
    if (held_here.ok()) return held_here;
  }
  return busiest(layer, false);
}

// The lowest number beyond the first experts that nobody has or had.
StatusOr<ExpertName> Host::State::free_name(LayerId layer) const {
  for (int64_t e = spec.experts; e < spec.experts_max; ++e) {
    const ExpertName name{layer, ExpertId{e}};
    if (!own.contains(name) && !holders.seen(name) && !retired.contains(name)) return name;
  }
  return absl::ResourceExhaustedError(base::concat("layer ", layer.value, " has all the ", spec.experts_max,
                                                   " experts that its gates can score"));
}

// The layer's most asked expert: of all, or of those that are here.
StatusOr<ExpertName> Host::State::busiest(LayerId layer, bool only_here) const {
  double most = -1;
  ExpertName best{layer, ExpertId{0}};
  for (int64_t e = 0; e < spec.experts_max; ++e) {
    const ExpertName name{layer, ExpertId{e}};
    const auto mine = own.find(name);
    const bool here = mine != own.end() && mine->second.ready;
    if (retired.contains(name) || (!here && (only_here || holders.of(name).empty()))) continue;
    double rows = here ? mine->second.rows_per_s : 0;
    for (const Holder& holder : holders.of(name)) rows += rows_per_s_of(holder.load);
    if (rows <= most) continue;
    most = rows;
    best = name;
  }
  if (most >= 0) return best;
  return absl::NotFoundError(base::concat("nobody holds an expert of layer ", layer.value));
}

void Host::State::make_copy(ExpertName from, ExpertName to, float deviation, const Done& done) {
  const auto copy = [from, to, deviation, done](State& self, StatusOr<peers::Payload> bytes) {
    if (!bytes.ok()) return done(bytes.status());
    self.in_executor(
        [&self, from, to, deviation, bytes = *std::move(bytes)] {
          return self.held.copy(from, bytes.bytes(), to, deviation);
        },
        [done](State&, const Status& made) { done(made); });
  };
  const auto mine = own.find(from);
  if (mine != own.end() && mine->second.ready) {
    in_executor(
        [this, from]() -> StatusOr<peers::Payload> {
          AGORA_ASSIGN_OR_RETURN(std::vector<std::byte> bytes, held.snapshot(from));
          return peers::Payload::own(std::move(bytes));
        },
        copy);
    return;
  }
  const bool there = in_spec(from) && !holders.of(from).empty();
  const peers::PeerId holder = there ? successor(from) : peers::PeerId{};
  const OtherHost* host = holders.host(holder);
  if (host == nullptr) return copy(*this, absl::NotFoundError("nobody holds the expert to copy"));
  // Another host would ask for the same.
  const auto fetched = [copy](State& self, StatusOr<peers::Payload> bytes) {
    if (!bytes.ok()) {
      bytes = absl::UnavailableError(
          base::concat("the expert to copy did not come; try again: ", bytes.status().message()));
    }
    copy(self, std::move(bytes));
  };
  fetch_snapshot(holder, host->endpoint, snapshot_key(from), back<StatusOr<peers::Payload>>(fetched));
}

void Host::State::say_source(ExpertName name, ExpertId source) {
  if (added.size() >= kNewcomersMax) added.pop_front();
  added.push_back({name, source, loop.now_ns()});
}

// They exist from their first leader's record on: gates see them there.
void Host::State::begin_new(const NewExperts& added) {
  std::vector<LeadershipChange> changes;
  for (const ExpertName name : added.names) {
    own.at(name).ready = true;
    ++counts.adopted;
    leadership.hold(name, 0, 0);
    changes.push_back(leadership.take(name));
    const auto source = added.sources.find(name);
    if (source != added.sources.end()) say_source(name, source->second);
  }
  apply(changes);
  // When all lead.
  in_executor([] { return true; },
              [call = added.call, names = added.names](State&, bool) {
                call->reply(absl::OkStatus(), encode_experts(names));
              });
}

void Host::State::retire_expert(const std::shared_ptr<peers::IncomingCall>& call) {
  const StatusOr<ExpertName> name = read_expert(call->payload().bytes());
  if (!name.ok()) return call->reply(name.status());
  if (!in_spec(*name)) return call->reply(absl::InvalidArgumentError("there is no such expert"));
  if (!options.gates_close) {
    return call->reply(
        absl::InvalidArgumentError("this swarm's gates can not leave an expert out: only those of "
                                   "--selection top_k and --updates async can"));
  }
  std::set<ExpertName> more = retired;
  more.insert(*name);
  if (ranges_of(more).size() > kRetiredRangesMax) {
    return call->reply(absl::ResourceExhaustedError(
        base::concat("a record has room for ", kRetiredRangesMax,
                     " ranges of retired experts, and this would be one more: retire a neighbour of one")));
  }
  retire(*name);
  save_retired();  // at once: who asked will not ask again
  call->reply(absl::OkStatus());
}

std::vector<RetiredRange> Host::State::ranges_of(const std::set<ExpertName>& names) {
  std::vector<RetiredRange> ranges;
  for (const ExpertName name : names) {
    RetiredRange* last = ranges.empty() ? nullptr : &ranges.back();
    if (last != nullptr && last->layer == name.layer && last->first + last->count == name.expert.value) {
      ++last->count;
    } else {
      ranges.push_back({name.layer, name.expert.value, 1});
    }
  }
  return ranges;
}

}  // namespace agora::swarm
