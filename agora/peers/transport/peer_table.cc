#include "agora/peers/transport/peer_table.h"

#include <algorithm>

#include "agora/base/text.h"

namespace agora::peers {
namespace {

constexpr size_t kFailuresMax = 4096;  // peers and endpoints that are remembered as not reachable

}  // namespace

using base::MutexLock;

std::shared_ptr<Session> PeerTable::find(const CallSettings& settings) const {
  MutexLock lock(mutex_);
  return find_locked(settings);
}

std::shared_ptr<Session> PeerTable::find_locked(const CallSettings& settings) const {
  if (!settings.to.empty()) {
    const auto found = open_.find(settings.to);
    if (found != open_.end()) {
      for (const SessionPtr& session : found->second) {
        if (session->usable()) return session;
      }
    }
  }
  for (const Dial& dial : dials_) {
    // Who is at an endpoint is known from having dialed it, never from what a peer says of itself.
    const bool same_peer = dial.to == settings.to || (settings.to.empty() && dial.open);
    if (dial.at == settings.at && same_peer && dial.session->usable()) return dial.session;
  }
  return nullptr;
}

StatusOr<std::shared_ptr<Session>> PeerTable::begin_dial(const CallSettings& settings,
                                                         std::shared_ptr<Session> session, int64_t now_ns) {
  MutexLock lock(mutex_);
  if (SessionPtr other = find_locked(settings)) return other;
  const auto failure = failures_.find({settings.to, settings.at});
  if (failure != failures_.end() && failure->second.until_ns > now_ns) {
    return absl::UnavailableError(base::concat(settings.at.text(),
                                               " could not be reached; it is tried again in ",
                                               (failure->second.until_ns - now_ns) / 1'000'000, " ms"));
  }
  if (dials_.size() >= static_cast<size_t>(limits_.connections_max)) {
    return absl::ResourceExhaustedError(
        base::concat("more than ", limits_.connections_max, " connections; close some"));
  }
  dials_.push_back({.to = settings.to, .at = settings.at, .session = session});
  return session;
}

bool PeerTable::better(const Session& a, const Session& b) const {
  const bool a_ours = a.role() == Session::Role::dialer, b_ours = b.role() == Session::Role::dialer;
  if (a_ours != b_ours) return a_ours == (self_ < a.peer());
  return a.dial() > b.dial();
}

PeerTable::Displaced PeerTable::opened(const std::shared_ptr<Session>& session) {
  Displaced displaced;
  MutexLock lock(mutex_);
  for (Dial& dial : dials_) {
    if (dial.session != session) continue;
    dial.open = true;
    failures_.erase({dial.to, dial.at});
  }
  auto& sessions = open_[session->peer()];
  std::erase_if(sessions, [&](const SessionPtr& other) {
    const bool gone = other->peer_incarnation() != session->peer_incarnation();
    if (gone) displaced.close.push_back(other);
    return gone;
  });
  for (const SessionPtr& other : sessions) {
    displaced.retire.push_back(better(*session, *other) ? other : session);
  }
  sessions.push_back(session);
  std::ranges::stable_sort(sessions,
                           [&](const SessionPtr& a, const SessionPtr& b) { return better(*a, *b); });
  if (sessions.size() > static_cast<size_t>(limits_.connections_per_peer_max)) {
    displaced.close.push_back(sessions.back());
    sessions.pop_back();
  }
  return displaced;
}

void PeerTable::failed(const Dial& dial, int64_t now_ns) {
  const std::pair key(dial.to, dial.at);
  if (failures_.size() >= kFailuresMax && !failures_.contains(key)) {
    std::erase_if(failures_, [&](const auto& entry) { return entry.second.until_ns <= now_ns; });
    if (failures_.size() >= kFailuresMax) return;
  }
  Failure& failure = failures_[key];
  // After a while without a try it is as if nothing had been.
  const bool recent = failure.until_ns + limits_.dial_again_ns_max > now_ns;
  failure.wait_ns = recent ? std::min(2 * failure.wait_ns, limits_.dial_again_ns_max) : 0;
  failure.wait_ns = std::max(failure.wait_ns, limits_.dial_again_ns_min);
  failure.until_ns = now_ns + failure.wait_ns;
}

void PeerTable::closed(const std::shared_ptr<Session>& session, int64_t now_ns) {
  MutexLock lock(mutex_);
  for (const Dial& dial : dials_) {
    if (dial.session == session && !dial.open) failed(dial, now_ns);
  }
  std::erase_if(dials_, [&](const Dial& dial) { return dial.session == session; });
  const auto found = open_.find(session->peer());
  if (found == open_.end()) return;
  std::erase(found->second, session);
  if (found->second.empty()) open_.erase(found);
}

std::vector<std::shared_ptr<Session>> PeerTable::all() const {
  MutexLock lock(mutex_);
  std::vector<SessionPtr> sessions;
  for (const Dial& dial : dials_) {
    if (!dial.open) sessions.push_back(dial.session);
  }
  for (const auto& [peer, of_peer] : open_) sessions.insert(sessions.end(), of_peer.begin(), of_peer.end());
  return sessions;
}

size_t PeerTable::open_count() const {
  MutexLock lock(mutex_);
  size_t count = 0;
  for (const auto& [peer, of_peer] : open_) count += of_peer.size();
  return count;
}

}  // namespace agora::peers
