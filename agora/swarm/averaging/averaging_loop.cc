#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "agora/swarm/averaging/averaging_state.h"
#include "agora/swarm/peer_state.h"
#include "agora/swarm/wire/method.h"

namespace agora::swarm {
namespace {

// Whose trunk could not be had is not asked for it again for as long as that was tried, and twice as long
// each time in a row.
constexpr int64_t kOutOfReachNsMin = base::kSecondNs;
constexpr int64_t kOutOfReachNsMax = 120 * base::kSecondNs;

// The way to a trainer broke or is too slow, or it hands its trunk to others: that says nothing of the trunk.
bool is_away_or_busy(const Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsResourceExhausted(status);
}

bool all_finite(std::span<const float> numbers) {
  return std::ranges::all_of(numbers, [](float number) { return std::isfinite(number); });
}

std::vector<float> floats_of(base::Bytes bytes) {
  std::vector<float> numbers(bytes.size() / sizeof(float));
  std::memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(float));
  return numbers;
}

// Of the trunk that the decision makes of it.
std::vector<LastContribution> last_contributions(const TrunkSnapshot& base, const Decision& decision) {
  std::vector<LastContribution> all;
  for (const Contribution& c : decision.counted) all.push_back({c.owner, c.hash, base.version.round});
  for (const LastContribution& earlier : base.contributions) {
    if (all.size() == kContributorsMax) break;
    if (std::ranges::find(all, earlier.owner, &LastContribution::owner) == all.end()) all.push_back(earlier);
  }
  return all;
}

}  // namespace

std::vector<peers::PeerId> Averaging::State::trainers() const {
  std::vector<peers::PeerId> found;
  for (const TrunkSource& source : trunk_sources(directory_.records())) {
    if (source.trainer) found.push_back(source.peer);
  }
  std::ranges::sort(found);
  return found;
}

// Decodes one record, not all of them: it is asked with every message.
std::optional<peers::Endpoint> Averaging::State::trainer_at(const peers::PeerId& peer) const {
  for (const auto& record : directory_.records()) {
    if (record->peer != peer) continue;
    const auto state = decode_peer_state(record->body);
    if (state.ok() && state->trainer) return record->endpoint;
  }
  return std::nullopt;
}

TrunkVersion Averaging::State::version() const {
  base::MutexLock lock(mutex_);
  return latest_ == nullptr ? TrunkVersion{} : latest_->version;
}

void Averaging::State::begin(std::shared_ptr<const TrunkSnapshot> base, peers::Payload delta, uint64_t share,
                             uint64_t rows, uint64_t step) {
  if (stopped()) return;
  if (catching_up_ || base->version != version()) return end_round();  // a fresher trunk came between
  const Contribution own{transport_.self(), weights::sha256(delta.bytes()), rows};
  own_[share] = {own.owner, own.hash, base->version.round};
  if (own_.size() > kSharesMax) own_.erase(own_.begin());
  std::vector<weights::Digest> kept;
  for (const auto& [number, given] : own_) kept.push_back(given.hash);  // the first one to a round stands
  for (size_t i = 0; last_ && i < last_->counted.size(); ++i) kept.push_back(last_->counted[i].hash);
  shelf_.keep_deltas(kept);  // those of the last round: a member may still be fetching them
  shelf_.hold_delta(own.hash, delta);
  deltas_ = {{own.hash, std::move(delta)}};
  base_ = std::move(base);
  step_ = step;
  round_ = std::make_unique<Round>(for_trunk(config_.round, base_->values.size()), transport_.self(),
                                   base_->version, own, trainers(), loop_.now_ns(), unawaited());
  act();
}

News Averaging::State::news() const {
  News news{.version = version(),
            .ready = {},
            .decided = {},
            .last = last_,
            .last_base = last_base_,
            .coming = false,
            .resting = rests()};
  if (round_ != nullptr && !round_->over()) {
    news.ready = round_->own();
    news.decided = round_->decision();
  }
  news.coming = catching_up_ || news.decided;
  return news;
}

void Averaging::State::on_call(peers::IncomingCall& call) {
  if (stopped()) return call.reply(absl::UnavailableError("this trainer is leaving"));
  const auto heard = read_news(call.payload().bytes());
  if (!heard.ok()) {
    refuse();
    return call.reply(heard.status());
  }
  const Reach reach = reach_of(call.from(), *heard);
  const bool heeded = trainer_at(call.from()) && reach != Reach::not_believed;
  if (heeded && round_ != nullptr) {
    round_->on_news(call.from(), *heard, reach == Reach::here, loop_.now_ns());
    act();
  } else if (heeded && reach == Reach::here) {
    on_idle_news(call.from(), *heard);
  }
  call.reply(absl::OkStatus(), encode(news()));
}

void Averaging::State::on_idle_news(const peers::PeerId& from, const News& news) {
  const TrunkVersion mine = version();
  if (news.version > mine) return catch_up(from);
  if (news.version != mine || !news.ready) return;
  base::MutexLock lock(mutex_);
  if (latest_ != nullptr) wanted_ = true;
}

// Runs until the round has nothing more to say. A round may end, and be gone, in the middle.
void Averaging::State::act() {
  for (const RoundAction& action : round_->take_actions()) {
    switch (action.kind) {
      case RoundAction::Kind::tell:
        tell(action.peer, action.number);
        break;
      case RoundAction::Kind::fetch:
        fetch(action.hash, action.peer);
        break;
      case RoundAction::Kind::finish:
        finish(action.decision);
        break;
      case RoundAction::Kind::catch_up:
        catch_up(action.peer);
        break;
    }
  }
  if (round_->over()) end_round();
  set_timer();
}

void Averaging::State::set_timer() {
  loop_.cancel(timer_);
  timer_ = {};
  if (round_ == nullptr || round_->wake_ns() == INT64_MAX) return;
  timer_ = loop_.at(round_->wake_ns(), [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self == nullptr || self->stopped() || self->round_ == nullptr) return;
    self->round_->on_time(self->loop_.now_ns());
    self->act();
  });
}

void Averaging::State::tell(const peers::PeerId& peer, uint64_t number) {
  const auto at = trainer_at(peer);
  if (!at) {
    // Not now: the round is in the middle of saying what is to be done.
    loop_.post([self = shared_from_this(), peer] {
      if (self->round_ == nullptr) return;
      self->round_->on_lost(peer, self->loop_.now_ns());
      self->act();
    });
    return;
  }
  const peers::CallSettings settings{.to = peer,
                                     .at = *at,
                                     .method = kAverage,
                                     .priority = peers::Priority::training,
                                     .deadline_ns = loop_.now_ns() + config_.round.answer_ns};
  transport_.call(settings, encode(news()), [self = shared_from_this(), peer, number](peers::Reply reply) {
    self->loop_.post([self, peer, number, reply = std::move(reply)] {
      if (self->stopped() || self->round_ == nullptr) return;
      const auto heard = reply.status.ok() ? read_news(reply.payload.bytes()) : StatusOr<News>(reply.status);
      const Reach reach = heard.ok() ? self->reach_of(peer, *heard) : Reach::here;
      if (reach == Reach::not_believed) {
        self->round_->on_lost(peer, self->loop_.now_ns());
      } else if (heard.ok()) {
        self->round_->on_answer(peer, number, *heard, reach == Reach::here, self->loop_.now_ns());
      } else if (!absl::IsDeadlineExceeded(heard.status())) {  // silence is the round's to judge
        self->round_->on_lost(peer, self->loop_.now_ns());
      }
      self->act();
    });
  });
}

void Averaging::State::fetch(const weights::Digest& hash, const peers::PeerId& from) {
  const auto report = [self = shared_from_this(), hash, from](StatusOr<peers::Payload> bytes) {
    self->loop_.post([self, hash, from, bytes = std::move(bytes)] {
      if (self->stopped() || self->round_ == nullptr) return;
      const bool ok = bytes.ok() && self->take_delta(hash, *bytes);
      self->round_->on_fetched(hash, from, ok, self->loop_.now_ns());
      self->act();
    });
  };
  const auto at = trainer_at(from);
  if (!at) return report(absl::NotFoundError("the peer has left the directory"));
  const peers::CallSettings settings{
      .to = from,
      .at = *at,
      .method = kGetTrunk,
      .priority = peers::Priority::training,
      .deadline_ns = loop_.now_ns() + for_trunk(config_.round, base_->values.size()).fetch_ns};
  fetch_blob(transport_, loop_, settings, delta_key(hash), base_->values.size() * sizeof(float), report);
}

bool Averaging::State::take_delta(const weights::Digest& hash, const peers::Payload& bytes) {
  if (bytes.size() != base_->values.size() * sizeof(float) || weights::sha256(bytes.bytes()) != hash ||
      !all_finite(floats_of(bytes.bytes()))) {
    refuse();
    return false;
  }
  deltas_[hash] = bytes;
  shelf_.hold_delta(hash, bytes);
  return true;
}

void Averaging::State::finish(const Decision& decision) {
  TrunkSnapshot next = *base_;
  std::vector<std::vector<float>> numbers;
  for (const Contribution& contribution : decision.counted) {
    late_.erase(contribution.owner);
    numbers.push_back(floats_of(deltas_.at(contribution.hash).bytes()));
  }
  next.contributions = last_contributions(*base_, decision);
  std::vector<Delta> deltas;
  for (size_t i = 0; i < numbers.size(); ++i) deltas.push_back({numbers[i], decision.counted[i].rows});
  outer_step(config_.outer, deltas, config_.learned, next.values, next.momentum);
  next.version = version_after(base_->version, decision);
  next.step = step_;
  last_ = decision;
  last_base_ = base_->version;
  const uint64_t counted = share_in(next);
  {
    base::MutexLock lock(mutex_);
    ++(counted != 0 ? counters_.rounds : counters_.rounds_missed);
    counters_.members = next.version.contributors;
  }
  arrive(std::move(next), counted);
}

void Averaging::State::catch_up(const peers::PeerId& from) {
  const auto at = trainer_at(from);
  const auto mine = latest();
  if (catching_up_ || !at || mine == nullptr) return;
  catching_up_ = true;
  fetch_trunk(transport_, loop_, {.peer = from, .endpoint = *at, .trainer = true},
              TrunkPart::values_with_momentum, mine->values.size(),
              [self = shared_from_this(),
               asked = CatchUp{from, version(), loop_.now_ns()}](StatusOr<TrunkSnapshot> trunk) {
                self->loop_.post([self, asked, trunk = std::move(trunk)] { self->take_trunk(asked, trunk); });
              });
}

void Averaging::State::take_trunk(const CatchUp& asked, StatusOr<TrunkSnapshot> trunk) {
  catching_up_ = false;
  if (round_ == nullptr) end_round();
  if (stopped()) return;
  if (!trunk.ok())
    return out_of_reach(asked, is_away_or_busy(trunk.status()) ? Reach::away : Reach::not_believed);
  if (trunk->version <= asked.instead_of) return out_of_reach(asked, Reach::not_believed);
  if (trunk->version <= version()) return;
  if (trunk->layout != config_.layout || trunk->momentum.size() != trunk->values.size() ||
      !all_finite(trunk->values) || !all_finite(trunk->momentum)) {
    out_of_reach(asked, Reach::not_believed);
    return refuse();
  }
  out_.erase(asked.from);
  const uint64_t counted = share_in(*trunk);
  {
    base::MutexLock lock(mutex_);
    ++counters_.caught_up;
    if (counted == 0) ++counters_.rounds_missed;
    counters_.members = trunk->version.contributors;
  }
  last_.reset();
  arrive(*std::move(trunk), counted);
}

void Averaging::State::out_of_reach(const CatchUp& asked, Reach reach) {
  std::erase_if(out_, [&](const auto& other) { return !trainer_at(other.first); });
  OutOfReach& out = out_[asked.from];
  const int64_t tried_ns = loop_.now_ns() - asked.begun_ns;
  out.pause_ns = std::clamp(std::max(tried_ns, 2 * out.pause_ns), kOutOfReachNsMin, kOutOfReachNsMax);
  out.until_ns = loop_.now_ns() + out.pause_ns;
  out.reach = reach;
}

// What it says of the round that runs here is heard all the same.
Averaging::State::Reach Averaging::State::reach_of(const peers::PeerId& from, const News& news) const {
  if (news.version <= version() || (round_ != nullptr && news.last && news.last_base == base_->version)) {
    return Reach::here;
  }
  const auto out = out_.find(from);
  return out == out_.end() || loop_.now_ns() >= out->second.until_ns ? Reach::here : out->second.reach;
}

// For whom the round that begins does not wait.
std::set<peers::PeerId> Averaging::State::unawaited() {
  std::erase_if(late_, [&](const auto& other) { return !trainer_at(other.first); });
  std::set<peers::PeerId> now;
  for (auto& [peer, late] : late_) {
    if (late.left == 0) continue;
    --late.left;
    now.insert(peer);
  }
  return now;
}

// The newest of this trainer's shares that is in it; 0: none.
uint64_t Averaging::State::share_in(const TrunkSnapshot& trunk) const {
  uint64_t newest = 0;
  for (const auto& [share, given] : own_) {
    const auto is_of_it = [&own = given](const LastContribution& last) {
      return last == own ||
             (own.hash == weights::Digest{} && last.owner == own.owner && last.round >= own.round);
    };
    if (std::ranges::any_of(trunk.contributions, is_of_it)) newest = share;
  }
  return newest;
}

// The trainer takes it at the end of its step. Once its share is in, it stays in whatever is built on that.
void Averaging::State::arrive(TrunkSnapshot trunk, uint64_t counted) {
  own_.erase(own_.begin(), own_.upper_bound(counted));
  auto shared = std::make_shared<const TrunkSnapshot>(std::move(trunk));
  {
    base::MutexLock lock(mutex_);
    counted_ = std::max(counted_, counted);
    latest_ = shared;
    counters_.version = shared->version;
  }
  shelf_.put(*shared);
}

void Averaging::State::end_round() {
  for (const peers::PeerId& peer : round_ == nullptr ? std::set<peers::PeerId>{} : round_->late()) {
    Late& late = late_[peer];
    late.left = late.rounds = std::min(2 * late.rounds + 7, kRoundsWithoutMax);
  }
  round_.reset();
  base::MutexLock lock(mutex_);
  in_round_ = catching_up_;  // then there is a fresher trunk to begin from
}

void Averaging::State::refuse() {
  base::MutexLock lock(mutex_);
  ++counters_.refused;
}

}  // namespace agora::swarm
