#include "apps/cli/swarm/up_run.h"

#include <malloc.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agora/base/text.h"
#include "agora/base/utf8.h"
#include "agora/model/model_folder.h"
#include "agora/train/evaluate.h"

#include "apps/cli/swarm/own_address.h"
#include "apps/cli/swarm/peer_process.h"
#include "apps/cli/swarm/swarm_saving.h"
#include "apps/cli/terminal_device.h"
#include "apps/cli/terminal_table.h"
#include "apps/cli/terminal_text.h"
#include "apps/cli/training_run.h"
#include "apps/cli/training_summary.h"

namespace agora::cli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kAskNs = base::kSecondNs;
constexpr int64_t kLineNs = 10 * base::kSecondNs;       // of --plain
constexpr int64_t kJsonNs = base::kSecondNs;            // of --json
constexpr int64_t kLookNs = 50 * base::kMillisecondNs;  // for what the processes say, and for Ctrl-C
constexpr int64_t kSaveAgainNs = 5 * base::kSecondNs;
constexpr int64_t kToldNs = 10 * base::kSecondNs;  // records are a second old, and take another to come
constexpr int64_t kTrainersEndNs = 20 * base::kSecondNs;
constexpr int64_t kHostsEndNs = 10 * base::kSecondNs;  // they have nobody to hand over to

// With two of them a step would end whenever either ends its own.
Status check_trainers(const swarm::SwarmSpec& spec, int trainers) {
  if (spec.updates == swarm::UpdateMode::asynchronous || trainers <= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--trainers: expected 1, for the experts of a synchronous swarm step when the one trainer ends its "
      "step; found ",
      trainers));
}

nlohmann::ordered_json totals_json(const SwarmView& view) {
  const SwarmTotals t = totals_of(view);
  nlohmann::ordered_json processes = nlohmann::ordered_json::array();
  for (const ProcessView& process : view.processes) {
    processes.push_back({{"name", process.name}, {"running", process.state == ProcessView::State::running}});
  }
  return {{"event", "swarm"},
          {"seconds", view.seconds},
          {"step", t.steps},
          {"loss", t.loss},
          {"rows_per_second", t.rows_per_s},
          {"hosts", t.hosts},
          {"trainers", t.trainers},
          {"servers", t.servers},
          {"experts_led", t.experts_led},
          {"experts_held", t.experts_held},
          {"calls", t.calls},
          {"failures", t.failures},
          {"gate_mass", t.gate_mass},
          {"gate_mass_lost", t.gate_mass_lost},
          {"processes", std::move(processes)}};
}

}  // namespace

Status UpRun::run() {
  AGORA_RETURN_IF_ERROR(prepare());
  AGORA_RETURN_IF_ERROR(start_all());
  if (!flags_.plain && !flags_.json && inspect_terminal(STDOUT_FILENO).in_place)
    screen_.emplace(STDOUT_FILENO);
  watch();
  screen_.reset();
  if (!outcome_.is_saved(newest_trunk(*node_), retired_experts(*node_))) {
    outcome_.set_tried(save_and_summarise());
  }
  const Status ended = end_all();
  return outcome_.status().ok() ? ended : outcome_.status();
}

Status UpRun::prepare() {
  if (!flags_.resume.empty()) AGORA_RETURN_IF_ERROR(resume_what_was_not_said());
  AGORA_RETURN_IF_ERROR(check_flags());
  if (flags_.resume.empty()) return make_swarm_spec();
  return resume_spec();
}

Status UpRun::resume_what_was_not_said() {
  StatusOr<SwarmPlace> before = read_place(flags_.resume);
  if (absl::IsNotFound(before.status())) before = SwarmPlace{.dir = flags_.resume};
  if (!before.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(before.status().message(),
                                                   "; to go on by flags alone, --data and --swarm-key among "
                                                   "them, move this file away"));
  }
  return resume_place(flags_, *before);
}

Status UpRun::check_flags() const {
  AGORA_RETURN_IF_ERROR(parse_listen("--listen", flags_.listen).status());
  if (flags_.http != "off") AGORA_RETURN_IF_ERROR(parse_listen("--http", flags_.http).status());
  if (!base::is_utf8(flags_.swarm_key_file)) {  // other commands read of it in swarm.json
    return absl::InvalidArgumentError(
        absl::StrCat("--swarm-key: expected UTF-8, found ", base::in_quotes(flags_.swarm_key_file)));
  }
  AGORA_RETURN_IF_ERROR(swarm_key_in(flags_.swarm_key_file).status());
  if (flags_.resume.empty() || fs::exists(flags_.resume + kSpecFile)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--resume ", flags_.resume,
                   ": expected the folder of an earlier agora up, found no specification there"));
}

Status UpRun::make_swarm_spec() {
  AGORA_ASSIGN_OR_RETURN(const model::ModelConfig config, train::config_of(flags_.options));
  AGORA_ASSIGN_OR_RETURN(task_, train::make_task(flags_.options, nullptr, machine_.pool()));
  AGORA_ASSIGN_OR_RETURN(const swarm::SwarmSpec spec, make_spec(flags_.options, flags_.rules, *task_));
  AGORA_RETURN_IF_ERROR(check_trainers(spec, flags_.trainers));
  std::unique_ptr<weights::FolderClaim> claim;  // until the specification is in it
  dir_ = flags_.options.out;
  if (dir_.empty()) {
    AGORA_ASSIGN_OR_RETURN(claim, new_folder(flags_.options.name));
    dir_ = claim->path();
  }
  if (fs::exists(dir_ + kSpecFile)) {
    return absl::InvalidArgumentError(absl::StrCat("--out ", dir_,
                                                   ": a swarm is there already; go on with it by ",
                                                   "agora up --resume ", dir_, ", or name another folder"));
  }
  std::error_code error;
  fs::create_directories(dir_, error);
  if (error) return absl::InvalidArgumentError(absl::StrCat("--out ", dir_, ": ", error.message()));
  print_own_data();
  if (!flags_.json) print_gate_note(flags_.options, config);
  malloc_trim(0);  // the text is gone: its pages go too
  place_ = place_of(flags_, spec.name, dir_);
  AGORA_RETURN_IF_ERROR(write_place(dir_, place_));  // the specification makes it a swarm that can go on
  return write_spec(spec, dir_ + kSpecFile);
}

Status UpRun::resume_spec() {
  dir_ = flags_.resume;
  AGORA_ASSIGN_OR_RETURN(const swarm::SwarmSpec spec, read_spec_file(dir_ + kSpecFile));
  AGORA_RETURN_IF_ERROR(check_trainers(spec, flags_.trainers));
  const std::string data = flags_.options.data;
  AGORA_ASSIGN_OR_RETURN(flags_.options, options_of(spec));
  flags_.options.data = data;
  AGORA_RETURN_IF_ERROR(train::validate(flags_.options));
  AGORA_ASSIGN_OR_RETURN(train::SharedTokenizer tokenizer, tokenizer_of(spec));
  AGORA_ASSIGN_OR_RETURN(task_, train::make_task(flags_.options, std::move(tokenizer), machine_.pool()));
  print_own_data();
  malloc_trim(0);
  place_ = place_of(flags_, spec.name, dir_);
  return absl::OkStatus();
}

void UpRun::print_own_data() const {
  if (flags_.json) return;
  const std::string& data = flags_.options.data;
  std::cout << "Learns from " << (data.empty() ? "this machine's own text" : visible_text(data)) << ":\n";
  print_data(*task_, {});
}

Status UpRun::start_all() {
  NodeFlags own;
  own.listen = flags_.listen;
  own.state = dir_ + "/up";
  own.spec = dir_ + kSpecFile;
  own.http = flags_.http;
  own.swarm_key_file = flags_.swarm_key_file;
  AGORA_ASSIGN_OR_RETURN(node_, Node::open(own, interrupt_));
  AGORA_RETURN_IF_ERROR(node_->begin());
  supervisor_.emplace(SupervisorSettings{.program = own_program(), .respawn = flags_.respawn}, clock_);
  watch_.emplace(*supervisor_, node_->transport(), node_->spec().name, page_url(*node_), clock_);
  watch_->set_phase("starting");
  for (ChildPlan& plan : plan_children(flags_, dir_, node_->endpoint(), fs::exists(dir_ + kSavedDir))) {
    AGORA_RETURN_IF_ERROR(supervisor_->start(std::move(plan)));
  }
  if (flags_.json) {
    say_event({{"event", "start"},
               {"dir", dir_},
               {"data", place_.data},
               {"at", node_->endpoint().text()},
               {"page", page_url(*node_)}},
              true);
  } else {
    std::cout << absl::StrFormat(
        "Swarm %s: %d hosts, %d trainers, %d servers in %s. Ctrl-C saves and ends it.\n",
        visible_text(node_->spec().name), flags_.hosts, flags_.trainers, flags_.servers, dir_);
    if (!page_url(*node_).empty()) std::cout << "Look: " << page_url(*node_) << "\n";
    std::cout << std::flush;
  }
  return remember_place();
}

Status UpRun::remember_place() const {
  SwarmPlace place = place_;
  place.peers.push_back({.name = "up", .pid = getpid(), .at = node_->endpoint(), .http = node_->http()});
  for (PlacedPeer& peer : watch_->places()) place.peers.push_back(std::move(peer));
  return write_place(dir_, place);
}

void UpRun::watch() {
  while (!interrupt_.load()) {
    for (const ChildEvent& event : supervisor_->wait(kLookNs)) handle(event);
    if (clock_.now_ns() - asked_ns_ >= kAskNs) {
      watch_->ask_all();
      asked_ns_ = clock_.now_ns();
      if (screen_) screen_->show(swarm_screen(watch_->view(), screen_->columns(), screen_->lines()));
    }
    show();
    if (!outcome_.is_settled() && end_of_training() && flags_.once) return;
  }
}

// A swarm that can not be saved at the moment is tried again, and says so.
bool UpRun::end_of_training() {
  const bool nobody_trains = watch_->no_trainer_left();
  if (!watch_->all_trained() && !nobody_trains) return false;
  if (clock_.now_ns() < save_again_ns_ || (!nobody_trains && !last_trunk_is_told())) return false;
  const bool unfinished = nobody_trains && watch_->any_unfinished();
  watch_->set_phase(unfinished ? "no trainer is left" : "trained; ask it");
  outcome_.set_tried(save_and_summarise());
  if (unfinished) {
    outcome_.set_unfinished(absl::InternalError(absl::StrCat(
        "the trainers have ended, not all after their last step; see ", dir_,
        "/trainer-*.err. A new one goes on: build/agora train --stay --join ", node_->endpoint().text())));
  }
  if (const Status trouble = outcome_.status(); !trouble.ok()) {
    node_->log().warning("end of training", {{"error", std::string(trouble.message())}});
    say_event({{"event", "trouble"}, {"error", std::string(trouble.message())}}, flags_.json);
    say(message_for_people(trouble));
    save_again_ns_ = clock_.now_ns() + kSaveAgainNs;
  }
  return outcome_.is_settled();
}

// Only then is it known who has the last steps.
bool UpRun::last_trunk_is_told() {
  if (trained_ns_ == 0) trained_ns_ = clock_.now_ns();
  return newest_trunk(*node_) >= watch_->trunk_trained() || clock_.now_ns() >= trained_ns_ + kToldNs;
}

void UpRun::handle(const ChildEvent& event) {
  const std::string line = watch_->on_event(event);
  if (event.kind == ChildEvent::Kind::said && flags_.json) {
    nlohmann::ordered_json said{{"process", supervisor_->plan(event.child).name}};
    for (const auto& [key, value] : event.line.items()) said[key] = value;
    say_event(said, true);
  }
  if (line.empty()) return;
  if (flags_.json && event.kind != ChildEvent::Kind::said) {
    const bool ended = event.kind == ChildEvent::Kind::ended;
    say_event({{"process", supervisor_->plan(event.child).name},
               {"event", ended ? "ended" : "respawned"},
               {"how", event.how}},
              true);
  }
  node_->log().info(line);
  say(line);
  if (watch_->all_up() && !outcome_.is_settled()) watch_->set_phase("training");
  const Status remembered = remember_place();
  if (!remembered.ok()) say(message_for_people(remembered));
}

void UpRun::say(const std::string& line) {
  if (!flags_.json && !screen_) std::cout << line << std::endl;
}

// Lines, where there is no screen.
void UpRun::show() {
  const int64_t every_ns = flags_.json ? kJsonNs : kLineNs;
  if (screen_ || clock_.now_ns() - shown_ns_ < every_ns) return;
  shown_ns_ = clock_.now_ns();
  if (flags_.json) {
    say_event(totals_json(watch_->view()), true);
  } else if (!outcome_.is_settled()) {
    say(swarm_line(watch_->view()));
  }
}

Status UpRun::save_and_summarise() {
  screen_.reset();  // the summary stays on the terminal
  watch_->ask_all();
  const SwarmView view = watch_->view();
  if (!flags_.json) std::cout << swarm_screen(view, inspect_terminal(STDOUT_FILENO).columns) << std::flush;
  if (watch_->steps() == 0 && newest_trunk(*node_).round == 0)
    return absl::OkStatus();  // nothing to save yet
  say(absl::StrCat("Saving the whole swarm in ", dir_, kSavedDir, " ..."));
  const size_t retired = retired_experts(*node_);
  AGORA_ASSIGN_OR_RETURN(const swarm::TrunkVersion saved, save_whole_swarm(*node_, dir_ + kSavedDir));
  outcome_.set_saved(saved, retired);
  say_event({{"event", "saved"}, {"dir", dir_ + kSavedDir}}, flags_.json);
  return summarise(view.seconds);
}

Status UpRun::summarise(double seconds) {
  AGORA_ASSIGN_OR_RETURN(const kernels::Compute compute, machine_.compute(flags_.options.precision));
  AGORA_ASSIGN_OR_RETURN(model::LocalModel model,
                         model::load_model(dir_ + kSavedDir, compute, tensor::Train::no));
  const model::Pass pass{.compute = compute};
  AGORA_ASSIGN_OR_RETURN(const train::Evaluation evaluation,
                         measure(*model.model, pass, *task_, flags_.options.validate_rows, interrupt_));
  if (flags_.json) {
    say_event({{"event", "summary"}, {"validation", evaluation_json(evaluation)}}, true);
    return absl::OkStatus();
  }
  AGORA_RETURN_IF_ERROR(print_model_summary({model, pass, flags_.options.seed}, *task_, evaluation));
  say_what_next(seconds);
  return absl::OkStatus();
}

void UpRun::say_what_next(double seconds) const {
  const std::string saved = dir_ + kSavedDir;
  std::cout << "\nTrained for " << duration_text(seconds) << ". The model is in " << saved << ".\n";
  if (!interrupt_.load() && !flags_.once) {
    std::cout << "While the swarm runs, from another terminal:\n"
              << "  build/agora ask --swarm \"int main(\"\n"
              << "  build/agora peers      build/agora experts\n"
              << "Ctrl-C ends it. Afterwards:\n";
  }
  std::cout << "  build/agora ask " << saved << " \"int main(\"      asks the model without a swarm\n"
            << "  build/agora up --resume " << dir_ << "      goes on with the swarm\n"
            << std::flush;
}

Status UpRun::end_all() {
  watch_->set_phase("ending");
  std::vector<size_t> hosts;
  std::vector<size_t> others;
  for (size_t child = 0; child < supervisor_->size(); ++child) {
    (command_of(supervisor_->plan(child)) == "host" ? hosts : others).push_back(child);
  }
  const auto on_event = [this](const ChildEvent& event) { handle(event); };
  bool well = supervisor_->end(others, kTrainersEndNs, on_event);
  well = supervisor_->end(hosts, kHostsEndNs, on_event) && well;
  const NodeEnd end(*node_);
  say_event({{"event", "done"}, {"dir", dir_}}, flags_.json);
  if (well) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("not all processes ended in good order; see ", dir_, "/*.err"));
}

}  // namespace agora::cli
