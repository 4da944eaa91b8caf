#include "agora/swarm/trunk_exchange.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agora/swarm/peer_state.h"
#include "agora/swarm/wire/method.h"

namespace agora::swarm {
namespace {

constexpr const char* kValues = "values";
constexpr const char* kWithMomentum = "values+momentum";
constexpr size_t kFetchesMax = 256;               // at once; one peer has one of each part
constexpr int64_t kHeldNs = 2 * kBlobChunkNsMax;  // after the last question: whoever fetches it has given up

uint64_t bytes_max(TrunkPart part, size_t numbers) {
  return kTrunkHeadBytesMax + numbers * sizeof(float) * (part == TrunkPart::values ? 1 : 2);
}

StatusOr<TrunkSnapshot> fetch_from_now(peers::Transport& transport, const TrunkSource& source, TrunkPart part,
                                       size_t numbers, base::Loop& loop) {
  struct Answer {
    explicit Answer(base::Loop& l) : came(l.wait_point()) {}
    base::Mutex mutex;
    const std::unique_ptr<base::WaitPoint> came;
    std::optional<StatusOr<TrunkSnapshot>> trunk ABSL_GUARDED_BY(mutex);
  };
  auto answer = std::make_shared<Answer>(loop);  // the transport keeps it until it has called
  fetch_trunk(transport, loop, source, part, numbers, [answer](StatusOr<TrunkSnapshot> trunk) {
    base::MutexLock lock(answer->mutex);
    answer->trunk.emplace(std::move(trunk));
    answer->came->wake_all();
  });
  base::MutexLock lock(answer->mutex);
  while (!answer->trunk) answer->came->wait(answer->mutex);
  return *std::move(answer->trunk);
}

}  // namespace

// A trunk is encoded when it is first asked for: between two questions there may be many rounds. Who asks for
// the newest is told its name, and fetches it by that. It is kept for that peer until the last byte has been
// asked for, whatever rounds go by and whoever follows them.
struct TrunkShelf::Held {
  struct Encoded {
    std::string name;
    Blob blob;
  };
  struct Fetch {
    peers::PeerId by;
    std::string part;
    Encoded trunk;
    int64_t begun_ns = 0;
    int64_t asked_ns = 0;  // last
  };

  Held(const Clock& its_clock, size_t bytes_held_max) : clock(its_clock), bytes_max(bytes_held_max) {}

  const Clock& clock;
  const size_t bytes_max;
  base::Mutex mutex;
  std::shared_ptr<const TrunkSnapshot> snapshot ABSL_GUARDED_BY(mutex);
  std::map<std::string, Encoded, std::less<>> newest ABSL_GUARDED_BY(mutex);  // snapshot's parts
  std::vector<Fetch> fetches ABSL_GUARDED_BY(mutex);
  std::map<std::string, Blob, std::less<>> deltas ABSL_GUARDED_BY(mutex);  // at most two rounds' of them

  StatusOr<Blob> find(const peers::PeerId& by, const BlobRequest& request) {
    base::MutexLock lock(mutex);
    if (request.key == kValues || request.key == kWithMomentum) return name_of(by, request.key);
    if (const auto delta = deltas.find(request.key); delta != deltas.end()) return delta->second;
    const auto fetch = std::ranges::find_if(
        fetches, [&](const Fetch& one) { return one.by == by && one.trunk.name == request.key; });
    if (fetch == fetches.end()) {
      return absl::UnavailableError("this peer does not keep what was asked for; ask for its newest trunk");
    }
    fetch->asked_ns = clock.now_ns();
    const Blob blob = fetch->trunk.blob;
    const uint64_t left = blob.bytes.size() - std::min<uint64_t>(request.offset, blob.bytes.size());
    if (left <= std::min(request.bytes_max, kBlobChunkBytes)) fetches.erase(fetch);
    return blob;
  }

  // Those of who has gone, or only asks so that they are kept.
  void forget() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const int64_t now_ns = clock.now_ns();
    std::erase_if(fetches, [&](const Fetch& fetch) {
      const uint64_t bytes = fetch.trunk.blob.bytes.size() + kTrunkHeadBytesMax;
      return now_ns >= fetch.asked_ns + kHeldNs || now_ns >= fetch.begun_ns + blob_ns_max(bytes);
    });
  }

  // Whoever begins now finds places that are left, lest of many on slow lines nobody come to an end.
  bool has_room(std::string_view name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::map<std::string_view, size_t> bytes_of;
    for (const Fetch& fetch : fetches) bytes_of[fetch.trunk.name] = fetch.trunk.blob.bytes.size();
    size_t bytes = 0;
    for (const auto& [held, size] : bytes_of) bytes += size;
    return fetches.size() < kFetchesMax && (bytes < bytes_max || bytes_of.contains(name));
  }

  const Encoded& encoded(std::string_view part) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const auto known = newest.find(part);
    if (known != newest.end()) return known->second;
    TrunkSnapshot whole = *snapshot;
    if (part == kValues) whole.momentum.clear();
    Blob blob = blob_of(encode(whole));
    std::string name = "trunk/" + weights::to_hex(blob.hash);
    return newest[std::string(part)] = {std::move(name), std::move(blob)};
  }

  StatusOr<Blob> name_of(const peers::PeerId& by, std::string_view part)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (snapshot == nullptr) return absl::NotFoundError("trunk: this peer has none yet; ask another one");
    forget();
    std::erase_if(fetches, [&](const Fetch& fetch) { return fetch.by == by && fetch.part == part; });
    const Encoded& trunk = encoded(part);
    if (!has_room(trunk.name)) {
      return absl::UnavailableError(
          "as many trunks are being fetched from this peer as it keeps; ask another");
    }
    fetches.push_back({by, std::string(part), trunk, clock.now_ns(), clock.now_ns()});
    return blob_of(peers::Payload::copy(base::as_bytes(trunk.name)));
  }
};

TrunkShelf::TrunkShelf(const Clock& clock, size_t bytes_held_max)
    : held_(std::make_shared<Held>(clock, bytes_held_max)) {}

void TrunkShelf::serve(peers::Transport& transport) {
  transport.serve(kGetTrunk, [held = held_](const std::shared_ptr<peers::IncomingCall>& call) {
    const StatusOr<BlobRequest> request = read_blob_request(call->payload().bytes());
    if (!request.ok()) return call->reply(request.status());
    const StatusOr<Blob> found = held->find(call->from(), *request);
    serve_blob(*call, [&found](std::string_view) { return found; });
  });
}

void TrunkShelf::put(TrunkSnapshot snapshot) {
  auto shared = std::make_shared<const TrunkSnapshot>(std::move(snapshot));
  base::MutexLock lock(held_->mutex);
  held_->snapshot = std::move(shared);
  held_->newest.clear();
  held_->forget();
}

std::shared_ptr<const TrunkSnapshot> TrunkShelf::latest() const {
  base::MutexLock lock(held_->mutex);
  return held_->snapshot;
}

void TrunkShelf::hold_delta(const weights::Digest& hash, peers::Payload bytes) {
  base::MutexLock lock(held_->mutex);
  held_->deltas.insert_or_assign(delta_key(hash), Blob{std::move(bytes), hash});
}

void TrunkShelf::keep_deltas(const std::vector<weights::Digest>& which) {
  base::MutexLock lock(held_->mutex);
  std::erase_if(held_->deltas, [&](const auto& delta) {
    return std::ranges::find(which, delta.second.hash) == which.end();
  });
}

std::string delta_key(const weights::Digest& hash) { return "delta/" + weights::to_hex(hash); }

std::vector<TrunkSource> trunk_sources(const std::vector<std::shared_ptr<const peers::Record>>& records) {
  std::vector<TrunkSource> sources;
  for (const auto& record : records) {
    const auto state = decode_peer_state(record->body);
    if (!state.ok() || !(state->trainer || state->server)) continue;
    const TrunkVersion version{.round = state->trunk_version, .rows = state->trunk_rows};
    sources.push_back({record->peer, record->endpoint, version, state->trainer});
  }
  std::ranges::sort(sources, [](const TrunkSource& a, const TrunkSource& b) {
    return std::tuple(b.version, b.trainer, a.peer) < std::tuple(a.version, a.trainer, b.peer);
  });
  return sources;
}

void fetch_trunk(peers::Transport& transport, const Clock& clock, const TrunkSource& source, TrunkPart part,
                 size_t numbers, std::function<void(StatusOr<TrunkSnapshot>)> done) {
  const uint64_t bytes = bytes_max(part, numbers);
  const peers::CallSettings settings{.to = source.peer,
                                     .at = source.endpoint,
                                     .method = kGetTrunk,
                                     .priority = peers::Priority::background,
                                     .deadline_ns = clock.now_ns() + blob_ns_max(bytes)};
  const auto take = [&transport, &clock, settings, bytes,
                     done = std::move(done)](StatusOr<peers::Payload> name) {
    if (!name.ok()) return done(name.status());
    fetch_blob(transport, clock, settings, std::string(base::as_text(name->bytes())), bytes,
               [done](StatusOr<peers::Payload> bytes) {
                 if (!bytes.ok()) return done(bytes.status());
                 done(read_trunk(bytes->bytes()));
               });
  };
  fetch_blob(transport, clock, settings, part == TrunkPart::values ? kValues : kWithMomentum,
             kBlobKeyBytesMax, take);
}

StatusOr<TrunkSnapshot> fetch_trunk_now(peers::Transport& transport, const std::vector<TrunkSource>& sources,
                                        TrunkPart part, size_t numbers, base::Loop& loop,
                                        const AcceptTrunk& accept) {
  std::optional<Status> useless, failed;
  for (const TrunkSource& source : sources) {
    StatusOr<TrunkSnapshot> trunk = fetch_from_now(transport, source, part, numbers, loop);
    const Status status = trunk.ok() && accept ? accept(*trunk) : trunk.status();
    if (status.ok()) return trunk;
    (is_useless(status) ? useless : failed) = status;
  }
  if (failed) return *failed;
  if (useless) return *useless;
  return absl::NotFoundError("nobody in the directory hands out a trunk: does a trainer or a server run?");
}

bool is_useless(const Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status) || absl::IsDataLoss(status);
}

}  // namespace agora::swarm
