#include "apps/cli/swarm/up_plan.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "agora/base/thread_pool.h"

namespace agora::cli {
namespace {

constexpr int kThreadsEach = 1;   // the processes share this machine's processors
constexpr int kLeaveSeconds = 3;  // when all end at once nobody is left to hand over to

// A layer is mostly one host's (swarm/placement/homes.h), so while a micro-batch is in that layer that host
// alone has work for it.
int host_threads() { return base::processors_available(); }

// N of a folder NAME-N; 0: it is not one.
int number_of(const std::filesystem::directory_entry& entry, const std::string& name) {
  const std::string folder = entry.path().filename().string();
  std::error_code ignored;
  if (!folder.starts_with(name + "-") || !entry.is_directory(ignored)) return 0;
  int number = 0;
  const char* const end = folder.data() + folder.size();
  const auto [rest, error] = std::from_chars(folder.data() + name.size() + 1, end, number);
  return error == std::errc() && rest == end ? number : 0;
}

// How many of a kind have folders of their own there: the greatest number.
int count_in(const std::string& dir, const std::string& name, int count_max) {
  int most = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator at(dir, error), end; !error && at != end; at.increment(error)) {
    const int number = number_of(*at, name);
    if (number <= count_max) most = std::max(most, number);
  }
  return most;
}

std::string from_anywhere(const std::string& path) {
  if (path.empty()) return path;
  std::error_code error;
  const std::string whole = std::filesystem::absolute(path, error).string();
  return error ? path : whole;
}

// Port 0: of each its own.
std::string any_port_of(const std::string& listen) { return listen.substr(0, listen.rfind(':')) + ":0"; }

// Where nobody has written it down: as many as have folders, and of what has none as many as a new one has.
ProcessCounts counts_of(const SwarmPlace& before) {
  if (before.started) return *before.started;
  const auto counted = [&](const std::string& name, int count_max, int otherwise) {
    const int count = count_in(before.dir, name, count_max);
    return count > 0 ? count : otherwise;
  };
  const UpFlags fresh;
  return {.hosts = counted("host", kHostsMax, fresh.hosts),
          .trainers = counted("trainer", kTrainersMax, fresh.trainers),
          .servers = counted("server", kServersMax, fresh.servers)};
}

Status resume_counts(UpFlags& flags, const SwarmPlace& before) {
  const int hosts = count_in(before.dir, "host", kHostsMax);
  const ProcessCounts had = counts_of(before);
  if (!flags.said.hosts) flags.hosts = std::clamp(std::max(had.hosts, hosts), 1, kHostsMax);
  if (!flags.said.trainers) flags.trainers = std::clamp(had.trainers, 0, kTrainersMax);
  if (!flags.said.servers) flags.servers = std::clamp(had.servers, 0, kServersMax);
  if (flags.hosts >= hosts) return absl::OkStatus();
  std::string left_out = absl::StrCat(before.dir, "/host-", flags.hosts + 1);
  if (hosts > flags.hosts + 1) absl::StrAppend(&left_out, " up to host-", hosts);
  return absl::InvalidArgumentError(absl::StrCat(
      "--hosts: expected ", hosts, " or more, for so many have kept experts in ", before.dir, ", found ",
      flags.hosts, "; to do without what only the others have, move their folders away: ", left_out));
}

}  // namespace

const std::string& command_of(const ChildPlan& plan) { return plan.arguments.front(); }

SwarmPlace place_of(const UpFlags& flags, std::string name, std::string dir) {
  return {.name = std::move(name),
          .dir = std::move(dir),
          .swarm_key_file = from_anywhere(flags.swarm_key_file),
          .data = from_anywhere(flags.options.data),
          .started = ProcessCounts{flags.hosts, flags.trainers, flags.servers},
          .room = flags.room,
          .rows = flags.rows};
}

Status resume_place(UpFlags& flags, const SwarmPlace& before) {
  AGORA_RETURN_IF_ERROR(resume_counts(flags, before));
  if (!flags.said.room && before.room > 0) flags.room = before.room;
  if (!flags.said.rows && !before.rows.empty()) flags.rows = before.rows;
  if (!flags.said.swarm_key) flags.swarm_key_file = before.swarm_key_file;
  if (flags.said.data) return absl::OkStatus();
  flags.options.data = before.data;
  std::error_code ignored;
  if (before.data.empty() || std::filesystem::exists(before.data, ignored)) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("--resume ", before.dir, ": the swarm learned from ", before.data,
                                          ", which is not there; say by --data what it goes on with"));
}

std::vector<ChildPlan> plan_children(const UpFlags& flags, const std::string& dir,
                                     const peers::Endpoint& join, bool from_saved) {
  std::vector<ChildPlan> plans;
  const auto add = [&](const std::string& command, const std::string& name, int number,
                       const std::vector<std::string>& more) {
    const std::string state = absl::StrCat(dir, "/", name, "-", number);
    ChildPlan plan{
        .name = absl::StrCat(name, " ", number), .arguments = {command}, .error_file = state + ".err"};
    for (const auto& [flag, value] : std::vector<std::pair<std::string, std::string>>{
             {"--state", state},
             {"--spec", dir + kSpecFile},
             {"--join", join.text()},
             {"--listen", any_port_of(flags.listen)},
             {"--http", flags.http == "off" ? flags.http : any_port_of(flags.http)},
             {"--threads", absl::StrCat(command == "host" ? host_threads() : kThreadsEach)}}) {
      plan.arguments.push_back(absl::StrCat(flag, "=", value));
    }
    plan.arguments.push_back("--json");
    if (!flags.swarm_key_file.empty()) plan.arguments.push_back("--swarm-key=" + flags.swarm_key_file);
    plan.arguments.insert(plan.arguments.end(), more.begin(), more.end());
    plans.push_back(std::move(plan));
  };
  std::vector<std::string> host{absl::StrCat("--room=", flags.room),
                                absl::StrCat("--leave-seconds=", kLeaveSeconds)};
  std::vector<std::string> trainer{"--stay", "--rows=" + flags.rows};
  if (!flags.options.data.empty()) trainer.push_back("--data=" + flags.options.data);
  if (flags.steps_resumed > 0) trainer.push_back(absl::StrCat("--steps=", flags.steps_resumed));
  if (flags.minutes_resumed > 0) trainer.push_back(absl::StrCat("--minutes=", flags.minutes_resumed));
  if (from_saved) {
    host.push_back(absl::StrCat("--from=", dir, kSavedDir));
    trainer.push_back(absl::StrCat("--resume=", dir, kSavedDir));
  }
  for (int i = 1; i <= flags.hosts; ++i) add("host", "host", i, host);
  for (int i = 1; i <= flags.trainers; ++i) add("trainer", "trainer", i, trainer);
  for (int i = 1; i <= flags.servers; ++i) add("serve", "server", i, {});
  return plans;
}

}  // namespace agora::cli
