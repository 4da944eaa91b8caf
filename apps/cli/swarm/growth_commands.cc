// agora expert add, agora expert retire: a swarm's experts come and go while it runs.
#include <algorithm>
#include <functional>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "agora/peers/transport/limits.h"
#include "agora/swarm/host/holders.h"
#include "agora/swarm/host/host_messages.h"
#include "agora/swarm/wire/method.h"
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "apps/cli/swarm/swarm_client.h"
#include "apps/cli/swarm/swarm_command.h"

namespace agora::cli {
namespace {

struct GrowthFlags {
  PlaceFlags place;
  int32_t layer = -1;
  int32_t expert = -1;
  std::string from = "nothing";
  bool json = false;
  bool wait_said = false;
};

constexpr uint64_t kNumbersOfExperts = 0;  // the thing by which hosts are ranked here

// Copies come over the wire, and only the line knows how long that takes: as long as a call may.
constexpr double kCopySeconds = static_cast<double>(peers::kDeadlineNsMax) * 1e-9;

bool is_host(const swarm::PeerState& state) { return state.host; }

void print(const std::vector<swarm::ExpertName>& names, const char* what, bool json) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const swarm::ExpertName& name : names) {
    list.push_back({{"layer", name.layer.value}, {"expert", name.expert.value}});
    if (!json) std::cout << what << " layer " << name.layer.value << ", expert " << name.expert.value << "\n";
  }
  if (json) std::cout << list.dump() << "\n";
}

StatusOr<swarm::AddExpert> request_of(const GrowthFlags& flags) {
  swarm::AddExpert request;
  request.layer = flags.layer;
  if (flags.expert >= 0 && flags.from != "given") {
    return absl::InvalidArgumentError("--expert: expected --from given with it, which copies that expert");
  }
  if (flags.from == "busiest") {
    request.from = swarm::AddExpert::From::most_loaded;
  } else if (flags.from == "nearest") {
    request.from = swarm::AddExpert::From::nearest;
  } else if (flags.from != "nothing") {
    if (flags.expert < 0 || flags.layer < 0) {
      return absl::InvalidArgumentError("--from given: expected --layer and --expert, the expert to copy");
    }
    request.from = swarm::AddExpert::From::given;
    request.source = ExpertId{flags.expert};
  }
  return request;
}

// All hosts, in an order on which everybody agrees. Who adds asks the first: it knows the numbers that it has
// given, others hear of them a second later and would give them again.
StatusOr<std::vector<dashboard::PeerEntry>> hosts_to_ask(SwarmClient& client) {
  AGORA_ASSIGN_OR_RETURN(std::vector<dashboard::PeerEntry> hosts, client.all_that(is_host, "host"));
  std::ranges::sort(hosts, std::greater<>(), [](const dashboard::PeerEntry& host) {
    return swarm::rendezvous(host.peer, kNumbersOfExperts);
  });
  return hosts;
}

bool may_ask_another(const Status& refused) {
  return absl::IsFailedPrecondition(refused) || absl::IsResourceExhausted(refused);
}

double seconds_to_add(const GrowthFlags& flags) {
  return flags.from == "nothing" || flags.wait_said ? flags.place.seconds : kCopySeconds;
}

Status add(const GrowthFlags& flags, const Interrupt& interrupt) {
  AGORA_ASSIGN_OR_RETURN(const swarm::AddExpert request, request_of(flags));
  AGORA_ASSIGN_OR_RETURN(const auto client, SwarmClient::open(flags.place, interrupt));
  AGORA_ASSIGN_OR_RETURN(const std::vector<dashboard::PeerEntry> hosts, hosts_to_ask(*client));
  Status refused;
  for (const dashboard::PeerEntry& host : hosts) {
    const peers::Reply reply =
        client->ask(host, swarm::kAddExpert, swarm::encode(request), seconds_to_add(flags));
    if (reply.status.ok()) {
      AGORA_ASSIGN_OR_RETURN(const std::vector<swarm::ExpertName> added,
                             swarm::read_experts(reply.payload.bytes()));
      print(added, "added", flags.json);
      return absl::OkStatus();
    }
    refused = failure(reply, host.at);
    if (absl::IsDeadlineExceeded(refused)) {
      return absl::DeadlineExceededError(absl::StrCat(
          std::string(refused.message()),
          "; nothing is added, unless it just was: look with agora experts, wait longer with --wait"));
    }
    if (!may_ask_another(refused)) break;
  }
  return refused;
}

Status retire(const GrowthFlags& flags, const Interrupt& interrupt) {
  AGORA_ASSIGN_OR_RETURN(const auto client, SwarmClient::open(flags.place, interrupt));
  AGORA_ASSIGN_OR_RETURN(const dashboard::PeerEntry host, client->someone(is_host, "host"));
  const swarm::ExpertName name{LayerId{flags.layer}, ExpertId{flags.expert}};
  const peers::Reply reply = client->ask(host, swarm::kRetireExpert, swarm::encode_expert(name));
  if (!reply.status.ok()) return failure(reply, host.at);
  print({name}, "retired", flags.json);
  return absl::OkStatus();
}

}  // namespace

void add_expert_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result) {
  CLI::App* expert = app.add_subcommand("expert", "Add experts to a running swarm, or retire them");
  expert->require_subcommand(1);
  auto flags = std::make_shared<GrowthFlags>();
  const auto begin = [&](const char* name, const char* help) {
    CLI::App* command = expert->add_subcommand(name, help);
    command->option_defaults()->always_capture_default();
    add_place_flags(*command, flags->place);
    command->add_flag("--json", flags->json, "JSON instead of lines");
    return command;
  };
  CLI::App* command = begin("add", "One expert more: in a layer, or in every layer");
  command->add_option("--layer", flags->layer, "-1: in every layer");
  command
      ->add_option("--from", flags->from,
                   "nothing: first weights; busiest: a copy of the layer's most asked; nearest: of the most "
                   "asked that the host holds itself; given: of --expert")
      ->check(CLI::IsMember({"nothing", "busiest", "nearest", "given"}));
  command->add_option("--expert", flags->expert, "the one to copy, with --from given");
  CLI::Option* wait = command->get_option("--wait");
  wait->description("seconds to wait for an answer; if not said, an hour for copies");
  command->callback([=, &interrupt, &result] {
    flags->wait_said = wait->count() > 0;
    result.exit_code = report(add(*flags, interrupt));
  });

  command = begin("retire", "Let an expert go, for ever: its number is not given again");
  command->add_option("--layer", flags->layer, "its layer")->required()->check(CLI::NonNegativeNumber);
  command->add_option("--expert", flags->expert, "its number")->required()->check(CLI::NonNegativeNumber);
  command->callback([=, &interrupt, &result] { result.exit_code = report(retire(*flags, interrupt)); });
}

}  // namespace agora::cli
