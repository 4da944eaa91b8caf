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
// Of 4 or 8 bytes a number. More fetches of different rounds at once than that, and one begins again.
constexpr size_t kTrunksHeldMax = 4;
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
// the newest is told its name, and fetches it by that, so that rounds may go by meanwhile.
struct TrunkShelf::Held {
  struct Encoded {
    std::string name;
    Blob blob;
    int64_t asked_ns = 0;
  };

  explicit Held(const Clock& its_clock) : clock(its_clock) {}

  const Clock& clock;
  base::Mutex mutex;
  std::shared_ptr<const TrunkSnapshot> snapshot ABSL_GUARDED_BY(mutex);
  std::map<std::string, std::string, std::less<>> newest ABSL_GUARDED_BY(mutex);  // snapshot's parts' names
  std::vector<Encoded> trunks ABSL_GUARDED_BY(mutex);                             // asked for last: last
  std::map<std::string, Blob, std::less<>> deltas ABSL_GUARDED_BY(mutex);  // at most two rounds' of them

  StatusOr<Blob> find(std::string_view key) {
    base::MutexLock lock(mutex);
    if (key == kValues || key == kWithMomentum) return name_of(key);
    if (const auto delta = deltas.find(key); delta != deltas.end()) return delta->second;
    const auto trunk = at(key);
    if (trunk == trunks.end())
      return absl::NotFoundError("trunk: this peer does not hold what was asked for");
    trunk->asked_ns = clock.now_ns();
    std::rotate(trunk, trunk + 1, trunks.end());
    return trunks.back().blob;
  }

  void let_go() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::erase_if(trunks, [&](const Encoded& trunk) { return clock.now_ns() >= trunk.asked_ns + kHeldNs; });
  }

  std::vector<Encoded>::iterator at(std::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return std::ranges::find(trunks, name, &Encoded::name);
  }

  StatusOr<Blob> name_of(std::string_view part) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (snapshot == nullptr) return absl::NotFoundError("trunk: this peer has none yet; ask another one");
    let_go();
    std::string& name = newest[std::string(part)];
    if (at(name) == trunks.end()) {
      TrunkSnapshot whole = *snapshot;
      if (part == kValues) whole.momentum.clear();
      Blob blob = blob_of(encode(whole));
      name = "trunk/" + weights::to_hex(blob.hash);
      if (trunks.size() == kTrunksHeldMax) trunks.erase(trunks.begin());
      if (at(name) == trunks.end()) trunks.push_back({name, std::move(blob)});
    }
    at(name)->asked_ns = clock.now_ns();
    return blob_of(peers::Payload::copy(base::as_bytes(name)));
  }
};

TrunkShelf::TrunkShelf(const Clock& clock) : held_(std::make_shared<Held>(clock)) {}

void TrunkShelf::serve(peers::Transport& transport) {
  transport.serve(kGetTrunk, [held = held_](const std::shared_ptr<peers::IncomingCall>& call) {
    serve_blob(*call, [&](std::string_view key) { return held->find(key); });
  });
}

void TrunkShelf::put(TrunkSnapshot snapshot) {
  auto shared = std::make_shared<const TrunkSnapshot>(std::move(snapshot));
  base::MutexLock lock(held_->mutex);
  held_->snapshot = std::move(shared);
  held_->newest.clear();
  held_->let_go();
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
