#include "apps/cli/swarm/up_watch.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agora/base/bytes.h"
#include "agora/swarm/wire/method.h"

#include "apps/cli/swarm/blocking_call.h"
#include "apps/cli/swarm/up_plan.h"
#include "apps/cli/terminal_text.h"

namespace agora::cli {
namespace {

std::string text_at(const nlohmann::json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_string() ? found->get<std::string>() : "";
}

int64_t number_at(const nlohmann::json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

std::string trouble_line(const std::string& name, const std::string& trouble) {
  return absl::StrCat(name, ": ", visible_text(trouble));
}

}  // namespace

std::string UpWatch::on_event(const ChildEvent& event) {
  Known& known = known_[event.child];
  const std::string& name = supervisor_.plan(event.child).name;
  switch (event.kind) {
    case ChildEvent::Kind::respawned:
      known = {};
      return absl::StrCat(name, " is started again");
    case ChildEvent::Kind::ended:
      known.end = event.how;
      return absl::StrCat(name, ": ", event.how);
    case ChildEvent::Kind::said:
      break;
  }
  const std::string said = text_at(event.line, "event");
  if (said == "step" || said == "trained") steps_ = std::max(steps_, number_at(event.line, "step"));
  if (said == "trained") {
    known.trained = true;
    known.trunk = {.round = static_cast<uint64_t>(number_at(event.line, "trunk_round")),
                   .rows = static_cast<uint64_t>(number_at(event.line, "trunk_rows"))};
    return absl::StrCat(name, " has made its last step");
  }
  if (said == "trouble") {
    known.trouble = text_at(event.line, "error");
    return trouble_line(name, known.trouble);
  }
  if (said != "up") return "";
  const StatusOr<peers::Endpoint> at = peers::parse_endpoint(text_at(event.line, "at"));
  const StatusOr<peers::Endpoint> http = peers::parse_endpoint(text_at(event.line, "http"));
  if (!at.ok()) return "";
  known.place = PlacedPeer{.name = name,
                           .pid = supervisor_.pid(event.child),
                           .at = *at,
                           .http = http.ok() ? *http : peers::Endpoint{}};
  return absl::StrCat(name, " at ", at->text());
}

void UpWatch::ask_all() {
  std::vector<size_t> asked;
  std::vector<peers::CallSettings> calls;
  for (const auto& [child, known] : known_) {
    if (!supervisor_.running(child) || !known.place) continue;
    asked.push_back(child);
    calls.push_back({.to = {},
                     .at = known.place->at,
                     .method = swarm::kGetStatus,
                     .priority = peers::Priority::interactive,
                     .deadline_ns = deadline_in(kAnswerSeconds),
                     .trace = 0});
  }
  const std::vector<peers::Reply> replies =
      call_all(transport_, calls, peers::Payload::copy(base::as_bytes(dashboard::kSelfOnly)));
  for (size_t i = 0; i < asked.size(); ++i) {
    Known& known = known_[asked[i]];
    known.silent = !replies[i].status.ok();
    if (known.silent) continue;
    StatusOr<dashboard::PeerStatus> status =
        dashboard::read_status(base::as_text(replies[i].payload.bytes()));
    if (status.ok()) known.status = *std::move(status);
  }
  note_loss();
}

void UpWatch::note_loss() {
  const double loss = totals_of(view()).loss;
  if (loss <= 0) return;
  losses_.push_back(loss);
  if (losses_.size() < kLossesMax) return;
  for (size_t i = 0; i < losses_.size() / 2; ++i) losses_[i] = losses_[2 * i];
  losses_.resize(losses_.size() / 2);
}

SwarmView UpWatch::view() const {
  SwarmView view{.title = title_,
                 .phase = phase_,
                 .page = page_,
                 .seconds = static_cast<double>(clock_.now_ns() - begun_ns_) * 1e-9};
  for (size_t child = 0; child < supervisor_.size(); ++child) {
    ProcessView process{.name = supervisor_.plan(child).name};
    const auto found = known_.find(child);
    if (found != known_.end()) {
      process.status = found->second.status;
      if (found->second.place) process.state = ProcessView::State::running;
      if (found->second.silent) process.state = ProcessView::State::silent;
      process.note = found->second.end;
      const std::string& trouble = found->second.trouble;
      if (!trouble.empty()) view.troubles.push_back(trouble_line(process.name, trouble));
    }
    if (!supervisor_.running(child)) process.state = ProcessView::State::ended;
    view.processes.push_back(std::move(process));
  }
  view.losses = losses_;
  return view;
}

bool UpWatch::all_up() const {
  for (size_t child = 0; child < supervisor_.size(); ++child) {
    const auto found = known_.find(child);
    if (supervisor_.running(child) && (found == known_.end() || !found->second.place)) return false;
  }
  return true;
}

UpWatch::Trainers UpWatch::trainers() const {
  Trainers count;
  for (size_t child = 0; child < supervisor_.size(); ++child) {
    if (command_of(supervisor_.plan(child)) != "trainer") continue;
    const auto found = known_.find(child);
    const bool trained = found != known_.end() && found->second.trained;
    const bool left = supervisor_.running(child) || supervisor_.comes_again(child);
    ++count.all;
    count.left += left;
    count.trained += trained;
    count.trained_and_left += trained && left;
  }
  return count;
}

bool UpWatch::all_trained() const {
  const Trainers count = trainers();
  return count.left > 0 && count.trained_and_left == count.left;
}

bool UpWatch::no_trainer_left() const {
  const Trainers count = trainers();
  return count.all > 0 && count.left == 0;
}

bool UpWatch::any_unfinished() const {
  const Trainers count = trainers();
  return count.trained < count.all;
}

swarm::TrunkVersion UpWatch::trunk_trained() const {
  swarm::TrunkVersion freshest;
  for (const auto& [child, known] : known_) {
    if (supervisor_.running(child)) freshest = std::max(freshest, known.trunk);
  }
  return freshest;
}

std::vector<PlacedPeer> UpWatch::places() const {
  std::vector<PlacedPeer> places;
  for (const auto& [child, known] : known_) {
    if (supervisor_.running(child) && known.place) places.push_back(*known.place);
  }
  return places;
}

}  // namespace agora::cli
