// Where an expert's weights come from - another host, the disk, or its first weights - and where they are
// kept.
#include <algorithm>
#include <utility>

#include "agora/base/text.h"
#include "agora/swarm/host/host_state.h"
#include "agora/swarm/host/snapshot.h"

namespace agora::swarm {
namespace {

// After an adoption that failed, and each time that it fails again twice as long, up to the second.
constexpr int64_t kAdoptAgainNsMin = 2'000'000'000;
constexpr int64_t kAdoptAgainNsMax = 8'000'000'000;

}  // namespace

void Host::State::begin() {
  if (options.folder.empty()) {
    for (const ExpertName name : options.hold) adopt(name);
    return;
  }
  struct There {
    std::vector<ExpertName> snapshots;
    StatusOr<std::vector<ExpertName>> retired;
  };
  on_disk(
      [this] {
        return There{folder.list(), folder.load_retired(spec.id())};
      },
      [](State& self, const There& there) {
        self.trouble(there.retired.status());  // others tell what they know
        for (const ExpertName name : there.retired.value_or(std::vector<ExpertName>())) self.retire(name);
        for (const ExpertName name : there.snapshots) {
          if (self.in_spec(name)) self.on_disk_now.insert(name);
        }
        for (const ExpertName name : self.options.hold) self.adopt(name);
        if (self.static_holdings()) return;
        // Before others take them for orphans. What is held elsewhere too, placement tidies up; but the
        // disk's weights are old: who leads by now is heard before this host claims anything.
        if (!self.on_disk_now.empty()) self.leadership.rest(self.loop.now_ns() + kRestNs);
        for (const ExpertName name : self.on_disk_now) {
          if (self.room() > 0 && !self.retired.contains(name)) self.adopt_from_disk(name);
        }
      });
}

void Host::State::adopt(ExpertName name) {
  if (own.contains(name) || !in_spec(name) || retired.contains(name)) return;
  if (!static_holdings() && !holders.of(name).empty()) {
    own[name].since_ns = loop.now_ns();
    return pull({name, successor(name), [this, name](const Status& status) {
                   if (!status.ok()) adoption_failed(name, status);
                 }});
  }
  if (on_disk_now.contains(name)) return adopt_from_disk(name);
  adopt_first_weights(name);
}

void Host::State::adopt_from_disk(ExpertName name) {
  own[name].since_ns = loop.now_ns();
  on_disk([this, name] { return folder.load(name, snapshot_bytes_max(spec.shape)); },
          [name](State& self, StatusOr<std::string> bytes) {
            if (!bytes.ok()) return self.disk_failed(name, bytes.status());
            const auto text = std::make_shared<const std::string>(*std::move(bytes));
            self.restore(name, peers::Payload(text, base::as_bytes(*text)),
                         [&self, name](const Status& status) {
                           if (!status.ok()) return self.disk_failed(name, status);
                           ++self.counts.restored;
                         });
          });
}

// The file is torn, or a bit of it turned over. It was written, so the expert had been trained, or added by
// somebody: others may have it, and are not heard yet.
void Host::State::disk_failed(ExpertName name, const Status& status) {
  on_disk_now.erase(name);
  unreadable.insert(name);
  adoption_failed(name, status);
  if (static_holdings()) adopt(name);
}

// As the saved swarm has it that this one goes on from, or as the seed says. What the saved swarm has and can
// not be read begins with nothing: placement asks for it again, here or elsewhere.
void Host::State::adopt_first_weights(ExpertName name) {
  own[name].since_ns = loop.now_ns();
  if (!options.first) return adopt_from_seed(name);
  on_disk([this, name] { return options.first(name); },
          [name](State& self, StatusOr<std::vector<std::byte>> bytes) {
            if (absl::IsNotFound(bytes.status())) return self.adopt_from_seed(name);
            if (!bytes.ok()) return self.adoption_failed(name, bytes.status());
            self.count_lost(name);
            self.restore(name, peers::Payload::own(*std::move(bytes)), [&self, name](const Status& status) {
              if (!status.ok()) self.adoption_failed(name, status);
            });
          });
}

void Host::State::adopt_from_seed(ExpertName name) {
  count_lost(name);
  in_executor(
      [this, name] {
        held.adopt(name);
        return true;
      },
      [name](State& self, bool) { self.became_ready(name, 0, 0); });
}

bool Host::State::may_adopt(ExpertName name) {
  const auto pause = adoption_pauses.find(name);
  if (pause != adoption_pauses.end() && loop.now_ns() < pause->second.until_ns) return false;
  return !holders.of(name).empty() || may_begin(name);
}

// Whether what nobody holds may come from here by now: it may be on somebody's disk, and weights that begin
// anew would lead, in a healed network, over those that others trained on the other side.
bool Host::State::may_begin(ExpertName name) {
  if (on_disk_now.contains(name) || !was_trained(name)) return true;
  const int64_t since_ns = orphan_since.try_emplace(name, loop.now_ns()).first->second;
  return loop.now_ns() - since_ns >= options.orphan_grace_ns && !cut_off();
}

bool Host::State::was_trained(ExpertName name) const {
  return holders.version_seen(name) > 0 || unreadable.contains(name);
}

void Host::State::count_lost(ExpertName name) {
  if (!was_trained(name)) return;
  ++counts.lost;
  trouble(absl::DataLossError(base::concat("layer ", name.layer.value, " expert ", name.expert.value,
                                           ": no host holds it any more; it begins anew")));
}

// A leader keeps what it has: the snapshot came too late.
void Host::State::restore(ExpertName name, const peers::Payload& snapshot, const Done& done) {
  const auto found = own.find(name);
  if (found == own.end() || found->second.role == Role::leader) return done(absl::OkStatus());
  in_executor([this, name, snapshot] { return held.restore(name, snapshot.bytes()); },
              [name, done](State& self, const StatusOr<Holding>& restored) {
                if (restored.ok()) self.became_ready(name, restored->epoch, restored->version);
                done(restored.status());
              });
}

void Host::State::became_ready(ExpertName name, uint32_t epoch, uint64_t version) {
  const auto found = own.find(name);
  if (found == own.end()) return let_go(name);  // given up meanwhile
  Own& mine = found->second;
  orphan_since.erase(name);
  adoption_pauses.erase(name);
  const bool first = !std::exchange(mine.ready, true);
  if (first) ++counts.adopted;
  mine.version = version;
  if (mine.role == Role::follower) mine.epoch = epoch;
  leadership.hold(name, epoch, version);
  if (first && static_holdings()) {
    apply({leadership.take(name)});
  } else {
    on_changed({name});
  }
}

void Host::State::adoption_failed(ExpertName name, const Status& status) {
  trouble(status);
  const auto found = own.find(name);
  if (found == own.end() || found->second.ready) return;
  own.erase(found);
  adoption_pauses[name].lengthen(loop.now_ns(), kAdoptAgainNsMin, kAdoptAgainNsMax);
}

// Its weights: nobody would ever drop what this host does not know that it holds.
void Host::State::let_go(ExpertName name) {
  in_executor(
      [this, name] {
        held.drop(name);
        return true;
      },
      [](State&, bool) {});
}

void Host::State::drop(ExpertName name) {
  if (own.erase(name) == 0) return;
  ++counts.dropped;
  leadership.drop(name);
  hand_overs.erase(name);
  failed_hand_overs.erase(name);
  let_go(name);
  if (on_disk_now.erase(name) == 0) return;
  on_disk(
      [this, name] {
        folder.remove(name);
        return true;
      },
      [](State&, bool) {});
}

void Host::State::retire(ExpertName name) {
  if (!in_spec(name) || !retired.insert(name).second) return;
  placement.retire(name);
  retired_moved = true;
  after(options.retire_grace_ns, [name](State& self) { self.drop(name); });
}

// ---- the disk

void Host::State::save_retired() {
  if (options.folder.empty() || !std::exchange(retired_moved, false)) return;
  on_disk([this, names = std::vector<ExpertName>(
                     retired.begin(), retired.end())] { return folder.save_retired(names, spec.id()); },
          [](State& self, const Status& saved) {
            if (!saved.ok()) self.retired_moved = true;
            self.trouble(saved);
          });
}

void Host::State::save() {
  save_retired();
  for (auto& [name, mine] : own) {
    const bool moved = !mine.saved || mine.saved_version != mine.version || mine.saved_epoch != mine.epoch;
    const bool from_seed = mine.version == 0 && name.expert.value < spec.experts;
    if (!mine.ready || !moved || from_seed) continue;
    if (std::find(to_save.begin(), to_save.end(), name) == to_save.end()) to_save.push_back(name);
  }
  save_next();
}

// One after the other: computing and the disk have other things to do.
void Host::State::save_next() {
  if (saving) return;
  if (to_save.empty()) {
    if (leaving) leave_next();
    return;
  }
  const ExpertName name = to_save.front();
  to_save.pop_front();
  const auto found = own.find(name);
  if (found == own.end()) return save_next();
  saving = true;
  const auto saved = [name, version = found->second.version, epoch = found->second.epoch](
                         State& self, const Status& status) {
    self.saving = false;
    ++(status.ok() ? self.counts.saves : self.counts.saves_failed);
    self.counts.disk_fails = !status.ok();
    self.trouble(status);
    const auto mine = self.own.find(name);
    if (status.ok() && mine != self.own.end()) {
      self.on_disk_now.insert(name);
      mine->second.saved = true;
      mine->second.saved_version = version;
      mine->second.saved_epoch = epoch;
    }
    self.save_next();
  };
  in_executor([this, name] { return held.snapshot(name); },
              [name, saved](State& self, StatusOr<std::vector<std::byte>> bytes) {
                if (!bytes.ok()) return saved(self, bytes.status());
                const auto payload = peers::Payload::own(*std::move(bytes));
                self.on_disk([&self, name, payload] { return self.folder.save(name, payload.bytes()); },
                             saved);
              });
}

}  // namespace agora::swarm
