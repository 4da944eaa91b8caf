#include "apps/cli/swarm/supervisor.h"

#include <poll.h>
#include <signal.h>

#include <algorithm>

#include "agora/base/loop.h"

namespace agora::cli {
namespace {

// A process that ended and said nothing more is noticed that soon.
constexpr int64_t kLookNs = 50 * base::kMillisecondNs;

}  // namespace

StatusOr<ChildProcess> Supervisor::spawn(const ChildPlan& plan) const {
  return ChildProcess::start(
      {.program = settings_.program, .arguments = plan.arguments, .error_file = plan.error_file});
}

Status Supervisor::start(ChildPlan plan) {
  AGORA_ASSIGN_OR_RETURN(ChildProcess process, spawn(plan));
  children_.push_back(
      {.plan = std::move(plan), .process = std::move(process), .started_ns = clock_.now_ns()});
  return absl::OkStatus();
}

std::vector<ChildEvent> Supervisor::wait(int64_t timeout_ns) {
  std::vector<pollfd> pipes;
  for (const Child& child : children_) {
    if (child.process.output() >= 0) pipes.push_back({child.process.output(), POLLIN, 0});
  }
  const int64_t wait_ns = std::min(timeout_ns, kLookNs);
  poll(pipes.data(), pipes.size(), static_cast<int>(wait_ns / base::kMillisecondNs));
  std::vector<ChildEvent> events;
  for (size_t child = 0; child < children_.size(); ++child) {
    listen(child, events);
    look_after(child, events);
  }
  return events;
}

void Supervisor::listen(size_t child, std::vector<ChildEvent>& events) {
  for (const std::string& line : children_[child].process.read_lines()) {
    nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_object()) events.push_back({ChildEvent::Kind::said, child, std::move(json), ""});
  }
}

void Supervisor::look_after(size_t number, std::vector<ChildEvent>& events) {
  Child& child = children_[number];
  const int64_t now_ns = clock_.now_ns();
  if (!child.ended && child.process.ended()) {
    listen(number, events);  // its last words came before its end was seen
    child.ended = true;
    events.push_back({ChildEvent::Kind::ended, number, {}, child.process.end_text()});
    if (settings_.respawn && !ending_ && !child.process.ended_well()) {
      if (now_ns - child.started_ns > kRespawnLongestNs) child.respawn_wait_ns = kRespawnFirstNs;
      child.respawn_at_ns = now_ns + child.respawn_wait_ns;
      child.respawn_wait_ns = std::min(2 * child.respawn_wait_ns, kRespawnLongestNs);
    }
  }
  if (child.respawn_at_ns == 0 || now_ns < child.respawn_at_ns || ending_) return;
  StatusOr<ChildProcess> process = spawn(child.plan);
  if (!process.ok()) {
    child.respawn_at_ns = now_ns + child.respawn_wait_ns;
    return;
  }
  child.process = *std::move(process);
  child.ended = false;
  child.started_ns = now_ns;
  child.respawn_at_ns = 0;
  events.push_back({ChildEvent::Kind::respawned, number, {}, ""});
}

bool Supervisor::end(const std::vector<size_t>& which, int64_t timeout_ns,
                     const std::function<void(const ChildEvent&)>& on_event) {
  ending_ = true;
  std::vector<size_t> asked;
  for (const size_t child : which) {
    if (children_[child].ended) continue;
    children_[child].process.signal(SIGINT);
    asked.push_back(child);
  }
  const int64_t until_ns = clock_.now_ns() + timeout_ns;
  const auto has_ended = [this](size_t child) { return children_[child].ended; };
  while (!std::ranges::all_of(asked, has_ended) && clock_.now_ns() < until_ns) {
    for (const ChildEvent& event : wait(kLookNs)) on_event(event);
  }
  bool well = true;
  for (const size_t child : asked) {
    if (!has_ended(child)) children_[child].process.signal(SIGKILL);
    well = well && children_[child].process.ended_well();
  }
  return well;
}

}  // namespace agora::cli
