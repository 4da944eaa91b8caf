// agora peers, agora experts, agora trace: looking at a swarm from outside.
#include <unistd.h>

#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agora/swarm/wire/method.h"
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "apps/cli/swarm/experts_view.h"
#include "apps/cli/swarm/metrics.h"
#include "apps/cli/swarm/swarm_client.h"
#include "apps/cli/swarm/swarm_command.h"
#include "apps/cli/swarm/swarm_view.h"
#include "apps/cli/swarm/trace_view.h"
#include "apps/cli/terminal_device.h"
#include "apps/cli/terminal_table.h"

namespace agora::cli {
namespace {

using Json = nlohmann::ordered_json;

struct LookFlags {
  PlaceFlags place;
  std::string request;
  bool json = false;
};

int columns() { return inspect_terminal(STDOUT_FILENO).columns; }

std::string peers_text(const std::vector<dashboard::PeerStatus>& all) {
  TerminalTable table({{"peer"},
                       {"roles"},
                       {"at"},
                       {"up", Align::right, 2},
                       {"step", Align::right},
                       {"loss", Align::right},
                       {"rows/s", Align::right},
                       {"experts", Align::right},
                       {"room", Align::right, 4},
                       {"calls", Align::right, 3},
                       {"knows", Align::right, 5},
                       {"page", Align::left, 1}});
  for (const dashboard::PeerStatus& status : all) {
    const swarm::PeerState& state = status.self.state;
    table.add_row({status.self.peer.brief(), dashboard::roles_text(state), status.self.at.text(),
                   duration_text(status.uptime_s), absl::StrCat(state.step),
                   state.loss > 0 ? absl::StrFormat("%.3f", state.loss) : "",
                   with_thousands(static_cast<int64_t>(state.rows_per_s)),
                   state.host ? absl::StrCat(dashboard::count_experts(state).held) : "",
                   state.host ? absl::StrCat(state.room) : "",
                   with_thousands(static_cast<int64_t>(dashboard::calls_of(status))),
                   absl::StrCat(status.known.size()),
                   state.http_port == 0 ? "" : absl::StrCat(state.http_port)});
  }
  std::string text = table.text(columns());
  for (const dashboard::PeerStatus& status : all) {
    const auto fails = status.metrics.find(kDiskFails);
    if (fails == status.metrics.end() || fails->second == 0) continue;
    absl::StrAppend(&text, status.self.peer.brief(),
                    " can not write its snapshots: is its disk full? It works on; see its log.\n");
  }
  return text;
}

Status show_peers(const LookFlags& flags, const Interrupt& interrupt) {
  AGORA_ASSIGN_OR_RETURN(const auto client, SwarmClient::open(flags.place, interrupt));
  AGORA_ASSIGN_OR_RETURN(const std::vector<dashboard::PeerStatus> all, client->everyone());
  if (!flags.json) {
    std::cout << "Swarm " << visible_text(all.front().swarm) << ", " << all.size() << " peers\n"
              << peers_text(all);
    return absl::OkStatus();
  }
  Json list = Json::array();
  for (const dashboard::PeerStatus& status : all) list.push_back(dashboard::status_json(status));
  std::cout << list.dump() << "\n";
  return absl::OkStatus();
}

Status show_experts(const LookFlags& flags, const Interrupt& interrupt) {
  AGORA_ASSIGN_OR_RETURN(const auto client, SwarmClient::open(flags.place, interrupt));
  AGORA_ASSIGN_OR_RETURN(const std::vector<dashboard::PeerStatus> all, client->everyone());
  const std::vector<ExpertRow> rows = experts_of(all);
  if (flags.json) {
    std::cout << experts_json(rows).dump() << "\n";
  } else {
    std::cout << experts_text(rows, columns());
  }
  return absl::OkStatus();
}

// The spans that one peer kept, placed by when its answer came.
StatusOr<std::vector<TracedSpan>> spans_from(SwarmClient& client, const dashboard::PeerEntry& peer,
                                             uint64_t request) {
  const peers::Reply reply = client.ask(peer, swarm::kGetTrace, swarm::encode_trace_request(request));
  if (!reply.status.ok()) return failure(reply, peer.at);
  const int64_t now_ns = RealClock().now_ns();
  AGORA_ASSIGN_OR_RETURN(const std::vector<swarm::RemoteSpan> spans,
                         swarm::decode_spans(reply.payload.bytes()));
  std::vector<TracedSpan> placed;
  for (const swarm::RemoteSpan& span : spans) placed.push_back({peer.peer, span, now_ns - span.age_ns});
  return placed;
}

Status show_trace(const LookFlags& flags, const Interrupt& interrupt) {
  AGORA_ASSIGN_OR_RETURN(const uint64_t request, parse_request(flags.request));
  AGORA_ASSIGN_OR_RETURN(const auto client, SwarmClient::open(flags.place, interrupt));
  AGORA_ASSIGN_OR_RETURN(const std::vector<dashboard::PeerStatus> all, client->everyone());
  std::vector<TracedSpan> spans;
  for (const dashboard::PeerStatus& status : all) {
    const StatusOr<std::vector<TracedSpan>> some = spans_from(*client, status.self, request);
    if (!some.ok()) std::cerr << "agora: left out: " << message_for_people(some.status()) << "\n";
    if (some.ok()) spans.insert(spans.end(), some->begin(), some->end());
  }
  if (spans.empty()) {
    return absl::NotFoundError(absl::StrCat("request ", flags.request, ": none of ", all.size(),
                                            " peers remembers it; each keeps its last ",
                                            swarm::Trace::kSpansMax, " spans"));
  }
  spans = in_order(std::move(spans));
  if (flags.json) {
    std::cout << trace_json(spans).dump() << "\n";
  } else {
    std::cout << trace_text(spans, columns());
  }
  return absl::OkStatus();
}

using Look = Status (*)(const LookFlags&, const Interrupt&);

CLI::App* add_look(CLI::App& app, const std::string& name, const std::string& help, Look look,
                   const std::shared_ptr<LookFlags>& flags, const Interrupt& interrupt,
                   CommandResult& result) {
  CLI::App* command = app.add_subcommand(name, help);
  command->option_defaults()->always_capture_default();
  add_place_flags(*command, flags->place);
  command->add_flag("--json", flags->json, "JSON instead of a table");
  command->callback([=, &interrupt, &result] { result.exit_code = report(look(*flags, interrupt)); });
  return command;
}

}  // namespace

void add_peers_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result) {
  add_look(app, "peers", "Who is in a swarm, and how it does", show_peers, std::make_shared<LookFlags>(),
           interrupt, result);
}

void add_experts_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result) {
  add_look(app, "experts", "Who holds which expert: leader, version, load, replicas", show_experts,
           std::make_shared<LookFlags>(), interrupt, result);
}

void add_trace_command(CLI::App& app, const Interrupt& interrupt, CommandResult& result) {
  const auto flags = std::make_shared<LookFlags>();
  CLI::App* command = add_look(app, "trace", "What every peer did for one request: agora trace REQUEST",
                               show_trace, flags, interrupt, result);
  command->add_option("request", flags->request, "its number, as agora ask --swarm shows it")->required();
}

}  // namespace agora::cli
