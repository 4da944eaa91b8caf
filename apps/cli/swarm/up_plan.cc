#include "apps/cli/swarm/up_plan.h"

#include "absl/strings/str_cat.h"
#include "agora/base/thread_pool.h"

namespace agora::cli {
namespace {

constexpr int kThreadsEach = 1;   // the processes share this machine's processors
constexpr int kLeaveSeconds = 3;  // when all end at once nobody is left to hand over to

// A layer is mostly one host's (swarm/placement/homes.h), so while a micro-batch is in that layer that host
// alone has work for it.
int host_threads() { return base::processors_available(); }

// Port 0: of each its own.
std::string any_port_of(const std::string& listen) { return listen.substr(0, listen.rfind(':')) + ":0"; }

}  // namespace

const std::string& command_of(const ChildPlan& plan) { return plan.arguments.front(); }

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
