#include "agora/serve/trunk_follower.h"

namespace agora::serve {

std::shared_ptr<TrunkFollower> TrunkFollower::start(const Peer& peer, MakeModel make, Answerer& answerer,
                                                    const TrunkFollowerSettings& settings) {
  std::shared_ptr<TrunkFollower> follower(new TrunkFollower(peer, std::move(make), answerer, settings));
  follower->shelf_.serve(peer.transport);
  peer.loop.post([follower] { follower->look(); });
  return follower;
}

TrunkFollower::TrunkFollower(const Peer& peer, MakeModel make, Answerer& answerer,
                             const TrunkFollowerSettings& settings)
    : peer_(peer), make_(std::move(make)), answerer_(answerer), settings_(settings), shelf_(peer.loop) {}

// The lock is held over calls to the loop, the transport and the answerer, none of which calls back.
void TrunkFollower::stop() {
  const base::MutexLock lock(mutex_);
  stopped_ = true;
}

TrunkCounters TrunkFollower::counters() const {
  const base::MutexLock lock(mutex_);
  return counters_;
}

bool TrunkFollower::wants(const swarm::TrunkSource& source) const {
  return !counters_.any || source.version > newest_;
}

size_t TrunkFollower::trunks_alive() {
  std::erase_if(trunks_, [](const auto& trunk) { return trunk.expired(); });
  return trunks_.size();
}

void TrunkFollower::look() {
  {
    const base::MutexLock lock(mutex_);
    if (stopped_) return;
    peer_.loop.after(settings_.poll_ns, [self = shared_from_this()] { self->look(); });
  }
  pull();
}

void TrunkFollower::pull() {
  const base::MutexLock lock(mutex_);
  if (stopped_) return;
  const auto records = peer_.directory.records();
  retired_.merge(swarm::take_census(records, peer_.spec).retired);
  if (fetching_ || closing_ || trunks_alive() >= settings_.trunks_max) return;
  if (counters_.any && retired_ != closed_) {
    closing_ =
        answerer_.look([self = shared_from_this()](Glance& glance) { self->close_retired(glance); }).ok();
    return;
  }
  std::vector<swarm::TrunkSource> sources = swarm::trunk_sources(records);
  std::erase_if(sources,
                [&](const swarm::TrunkSource& s) ABSL_NO_THREAD_SAFETY_ANALYSIS { return !wants(s); });
  if (sources.empty()) return;
  fetching_ = true;
  if (numbers_ == 0) {
    if (!answerer_.look([self = shared_from_this()](Glance&) { self->count_numbers(); }).ok()) refuse();
    return;
  }
  swarm::fetch_trunk(peer_.transport, peer_.loop, sources[failures_ % sources.size()],
                     swarm::TrunkPart::values, numbers_,
                     [self = shared_from_this()](StatusOr<swarm::TrunkSnapshot> snapshot) {
                       self->on_fetched(std::move(snapshot));
                     });
}

// How long a trunk may be has to be known before the first one comes.
void TrunkFollower::count_numbers() {
  const StatusOr<std::unique_ptr<model::Model>> model = make_();
  const base::MutexLock lock(mutex_);
  if (!model.ok()) return refuse();
  numbers_ = swarm::TrunkLayout((*model)->parameters(), (*model)->selection_biases()).size();
  fetching_ = false;
  if (!stopped_) peer_.loop.post([self = shared_from_this()] { self->pull(); });
}

void TrunkFollower::on_fetched(StatusOr<swarm::TrunkSnapshot> snapshot) {
  const base::MutexLock lock(mutex_);
  if (stopped_) return;
  if (!snapshot.ok()) return refuse();
  const auto shared = std::make_shared<const swarm::TrunkSnapshot>(*std::move(snapshot));
  const Status queued =
      answerer_.look([self = shared_from_this(), shared](Glance& glance) { self->take(*shared, glance); });
  if (!queued.ok()) refuse();
}

void TrunkFollower::refuse() {
  fetching_ = false;
  ++failures_;
  ++counters_.refused;
}

StatusOr<ServedTrunk> TrunkFollower::make_trunk(const swarm::TrunkSnapshot& snapshot,
                                                const std::set<swarm::ExpertName>& retired,
                                                const kernels::Compute& compute) const {
  AGORA_ASSIGN_OR_RETURN(std::unique_ptr<model::Model> model, make_());
  swarm::TrunkLayout layout(model->parameters(), model->selection_biases());
  AGORA_RETURN_IF_ERROR(layout.load(snapshot));
  for (const swarm::ExpertName expert : retired) {
    tensor::Parameter* entry = model->block(expert.layer).mixture().gate().entry_bias();
    if (entry != nullptr) entry->value.flat()[static_cast<size_t>(expert.expert.value)] = moe::kClosed;
  }
  model->repack(compute);
  return ServedTrunk{snapshot.version.round, std::move(model)};
}

void TrunkFollower::take(const swarm::TrunkSnapshot& snapshot, const Glance& glance) {
  std::set<swarm::ExpertName> retired;
  {
    const base::MutexLock lock(mutex_);
    retired = retired_;
  }
  auto trunk = make_trunk(snapshot, retired, glance.compute);
  const base::MutexLock lock(mutex_);
  if (!trunk.ok()) return refuse();
  shelf_.put(snapshot);
  fetching_ = false;
  failures_ = 0;
  newest_ = snapshot.version;
  ++counters_.taken;
  use(*std::move(trunk), std::move(retired));
}

// The newest trunk once more, without what was retired since.
void TrunkFollower::close_retired(const Glance& glance) {
  std::set<swarm::ExpertName> retired;
  {
    const base::MutexLock lock(mutex_);
    closing_ = false;
    retired = retired_;
    if (stopped_ || glance.trunk.model == nullptr) return;
  }
  model::Model& newest = *glance.trunk.model;
  const swarm::TrunkLayout layout(newest.parameters(), newest.selection_biases());
  swarm::TrunkSnapshot same;
  same.version.round = glance.trunk.version;
  same.layout = layout.digest();
  same.values = layout.values();
  auto trunk = make_trunk(same, retired, glance.compute);
  const base::MutexLock lock(mutex_);
  if (trunk.ok()) use(*std::move(trunk), std::move(retired));
}

void TrunkFollower::use(ServedTrunk trunk, std::set<swarm::ExpertName> retired) {
  counters_.version = trunk.version;
  counters_.rows = newest_.rows;
  counters_.any = true;
  closed_ = std::move(retired);
  trunks_.push_back(trunk.model);
  answerer_.use_trunk(std::move(trunk));
}

}  // namespace agora::serve
