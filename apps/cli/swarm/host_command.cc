// agora host: a peer that holds experts, computes with them and teaches them.
#include <iostream>

#include "absl/strings/str_cat.h"
#include "agora/base/run_on.h"
#include "agora/swarm/host/expert_store.h"
#include "agora/swarm/host/host.h"
#include "agora/swarm/host/host_service.h"
#include "agora/swarm/swarm_folder.h"
#include "agora/train/swarm_spec.h"

#include "apps/cli/flag_checks.h"
#include "apps/cli/machine.h"
#include "apps/cli/swarm/peer_process.h"
#include "apps/cli/swarm/swarm_command.h"

namespace agora::cli {
namespace {

struct HostFlags {
  NodeFlags node;
  int32_t room = 1000;
  int threads = 0;
  std::string from;
  double leave_seconds = 60;
  double save_seconds = 30;
};

void append_metrics(const swarm::HostCounters& c, std::vector<Metric>& to) {
  add_counter(to, "agora_host_calls_total", "Calls of gates: forward, backward, release, end of a step.",
              c.calls);
  add_counter(to, "agora_host_rows_total", "Rows of experts, forward and backward.", c.rows);
  add_counter(to, "agora_host_passes_total", "Forward passes over the experts.", c.passes);
  add_counter(to, "agora_host_shared_total", "Forward calls that shared their pass with others.", c.shared);
  add_counter(to, "agora_host_malformed_total", "Calls that could not be read.", c.malformed);
  add_counter(to, "agora_host_refused_total", "Calls of a wrong layer, shape or dtype, or not finite.",
              c.refused);
  add_counter(to, "agora_host_unknown_tickets_total", "Backward calls whose inputs were kept no more.",
              c.unknown_tickets);
  add_counter(to, "agora_host_moving_total",
              "Gradients for an expert that was being handed over, or had gone to another host.", c.moving);
  add_counter(to, "agora_host_queue_full_total", "Calls refused because too many waited.", c.queue_full);
  add_counter(to, "agora_host_late_total", "Calls dropped: their deadline passed while they waited.", c.late);
}

void append_metrics(const swarm::HostStatus& s, std::vector<Metric>& to) {
  add_counter(to, "agora_experts_adopted_total", "Experts that the host took.", s.adopted);
  add_counter(to, "agora_experts_dropped_total", "Experts that the host let go.", s.dropped);
  add_counter(to, "agora_experts_led_new_total", "Leaderships that began here.", s.led_new);
  add_counter(to, "agora_experts_stepped_down_total", "Leaderships that ended because another leads.",
              s.stepped_down);
  add_counter(to, "agora_experts_handed_over_total", "Experts handed over to another leader.", s.handed_over);
  add_counter(to, "agora_hand_overs_failed_total", "Hand-overs that came to nothing.", s.hand_overs_failed);
  add_counter(to, "agora_pulls_total", "Snapshots pulled from leaders.", s.pulls);
  add_counter(to, "agora_pulls_failed_total", "Snapshots that could not be pulled.", s.pulls_failed);
  add_counter(to, "agora_pulled_bytes_total", "Bytes of snapshots pulled.", s.bytes_pulled);
  add_counter(to, "agora_saves_total", "Snapshots written to disk.", s.saves);
  add_counter(to, "agora_saves_failed_total", "Snapshots that the disk did not take.", s.saves_failed);
  add_gauge(to, kDiskFails, "1: the last snapshot was not written; the host works on without.",
            s.disk_fails ? 1 : 0);
  add_counter(to, "agora_experts_restored_total", "Experts that came back from disk.", s.restored);
  add_counter(to, "agora_experts_lost_total", "Experts that began anew though they had been trained.",
              s.lost);
  add_counter(to, "agora_leaders_given_up_total",
              "Leaders that did not answer, before their records expired.", s.peers_given_up);
  add_counter(to, "agora_stood_still_total", "Times that this host stood still, and rested from claims.",
              s.stood_still);
  add_counter(to, "agora_updates_applied_total", "Gradients taken.", s.updates.applied);
  add_counter(to, "agora_updates_repeated_total", "Gradients that had been applied before.",
              s.updates.repeated);
  add_counter(to, "agora_updates_too_old_total", "Gradients computed on weights too old.", s.updates.too_old);
  add_counter(to, "agora_updates_not_leading_total", "Gradients for experts that another host leads.",
              s.updates.not_leading);
  add_counter(to, "agora_updates_invalid_total",
              "Gradients of a wrong shape, not finite, or beyond the norm limit.", s.updates.refused);
  add_counter(to, "agora_expert_steps_total", "Steps of the experts' optimizers.", s.updates.steps);
}

// The expert as a saved swarm has it; none: first weights.
std::function<StatusOr<std::vector<std::byte>>(swarm::ExpertName)> beginnings(
    std::shared_ptr<swarm::SwarmFolder> folder) {
  if (folder == nullptr) return {};
  return [folder = std::move(folder)](swarm::ExpertName name) { return folder->snapshot(name); };
}

// All that is a host, in the order in which it must begin and end.
class HostRole {
 public:
  static StatusOr<std::unique_ptr<HostRole>> create(const HostFlags& flags, Node& node, Machine& machine) {
    std::unique_ptr<HostRole> role(new HostRole());
    AGORA_ASSIGN_OR_RETURN(const kernels::Compute compute,
                           machine.compute(node.spec().bf16 ? "bf16" : "f32"));
    AGORA_ASSIGN_OR_RETURN(role->store_, swarm::ExpertStore::create(compute, node.spec()));
    std::shared_ptr<swarm::SwarmFolder> saved;
    if (!flags.from.empty()) {
      AGORA_ASSIGN_OR_RETURN(saved, swarm::SwarmFolder::open(flags.from, node.spec()));
    }
    const StatusOr<model::ModelConfig> trunk = train::trunk_config(node.spec());
    swarm::HostOptions options;
    options.gates_close = trunk.ok() && trunk->gate.entry_bias;  // a host needs no trunk otherwise
    options.experts_max = flags.room;
    options.folder = node.state_dir() + "/experts";
    if (saved != nullptr) {
      options.retired = saved->manifest().retired;
      for (const swarm::ManifestExpert& expert : saved->manifest().experts) {
        if (expert.name.expert.value >= node.spec().experts) options.added.push_back(expert.name);
      }
    }
    options.first = beginnings(std::move(saved));
    options.save_ns = static_cast<int64_t>(flags.save_seconds * 1e9);
    options.leave_ns_max = static_cast<int64_t>(flags.leave_seconds * 1e9);
    options.seed = static_cast<uint64_t>(node.loop().now_ns());
    base::run_on(node.loop(), [&] {
      role->host_.emplace(node.loop(), role->executor_, role->disk_, node.transport(), node.directory(),
                          *role->store_, node.spec(), options);
    });
    swarm::HostConfig service;
    service.trace = &node.trace();
    service.seed = options.seed;
    role->service_.emplace(node.transport(), role->executor_, *role->store_, node.spec(), service);
    node.contribute(
        [role = role.get(), &log = node.log()](swarm::PeerState& state, std::vector<Metric>& metrics) {
          role->describe(state, metrics);
          role->log_disk(log);
        });
    return role;
  }

  void describe(swarm::PeerState& state, std::vector<Metric>& metrics) {
    host_->describe(state);
    const swarm::HostCounters counters = service_->counters();
    state.load_us = service_->load_us();
    state.rows_per_s = rate_.per_second(counters.rows);
    append_metrics(counters, metrics);
    append_metrics(host_->status(), metrics);
  }

  // Once when the disk begins to fail, once when it takes snapshots again.
  void log_disk(NodeLog& log) {
    const swarm::HostStatus status = host_->status();
    if (status.disk_fails == std::exchange(disk_fails_, status.disk_fails)) return;
    if (status.disk_fails) {
      log.warning("saving fails", {{"error", status.trouble}});
    } else {
      log.info("saving works again");
    }
  }

  // Gives away what it leads.
  void hand_over(Node& node) {
    base::run_until(node.loop(), [this](const std::function<void()>& done) { host_->leave(done); });
  }

 private:
  HostRole() = default;

  base::ThreadLoop compute_loop_{"agora-compute"};
  base::ThreadLoop disk_{"agora-disk"};
  swarm::Executor executor_{compute_loop_};
  std::unique_ptr<swarm::ExpertStore> store_;
  std::optional<swarm::Host> host_;
  std::optional<swarm::HostService> service_;
  CounterRate rate_;
  bool disk_fails_ = false;
};

Status host(const HostFlags& flags, const Interrupt& interrupt) {
  AGORA_RETURN_IF_ERROR(thread_count(flags.threads).status());  // before it looks for a swarm
  Machine machine(flags.threads);
  AGORA_ASSIGN_OR_RETURN(const auto node, Node::open(flags.node, interrupt));
  AGORA_ASSIGN_OR_RETURN(const auto role, HostRole::create(flags, *node, machine));
  const NodeEnd end(*node);
  AGORA_RETURN_IF_ERROR(node->begin());
  say_up(*node, "host", flags.node.json);
  wait_for_interrupt(interrupt);
  if (!flags.node.json) std::cout << "Handing over what this host leads ..." << std::endl;
  role->hand_over(*node);
  say_event({{"event", "left"}}, flags.node.json);
  return absl::OkStatus();
}

}  // namespace

void add_host_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result) {
  auto flags = std::make_shared<HostFlags>();
  CLI::App* command = app.add_subcommand(
      "host", "Be a host: hold experts of a swarm, answer and teach them: agora host [TOML] [flags]");
  command->option_defaults()->always_capture_default()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  add_node_flags(*command, flags->node);
  command->add_flag("--json", flags->node.json, "JSON lines on standard output");
  command->add_option("--room", flags->room, "experts that this host holds at most")->check(above_zero());
  command->add_option("--from", flags->from, "folder of a saved swarm: its experts, where nobody has them");
  command
      ->add_option("--leave-seconds", flags->leave_seconds, "how long it may take to hand over what it leads")
      ->check(seconds_from_zero());
  command->add_option("--save-seconds", flags->save_seconds, "between two rounds of writing what has moved")
      ->check(seconds_above_zero());
  command->add_option("--threads", flags->threads, "0: one per processor");
  command->footer(kConfigHelp);
  command->callback([flags, &interrupt, &result] { result.exit_code = report(host(*flags, interrupt)); });
}

}  // namespace agora::cli
