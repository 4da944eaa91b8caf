#include "apps/cli/swarm/swarm_explain.h"

#include <unistd.h>

#include <iostream>
#include <map>

#include "absl/strings/str_cat.h"
#include "agora/base/bytes.h"
#include "agora/serve/explain_swarm.h"
#include "agora/serve/trace_json.h"
#include "agora/swarm/wire/method.h"
#include "agora/weights/strict_json.h"
#include <nlohmann/json.hpp>

#include "apps/cli/explain_text.h"
#include "apps/cli/swarm/swarm_client.h"
#include "apps/cli/terminal_table.h"

namespace agora::cli {
namespace {

constexpr int kDepthMax = 16;
constexpr size_t kIdShown = 8;

// Which hosts served how many choices, and how they came to be asked.
std::string served_text(const std::vector<model::TokenTrace>& trace, int columns) {
  std::map<std::pair<std::string, std::string>, int64_t> counts;
  for (const model::TokenTrace& token : trace) {
    for (const model::LayerTrace& layer : token.layers) {
      for (const model::ChosenExpert& choice : layer.choices) {
        if (choice.served) ++counts[{choice.served->host.substr(0, kIdShown), choice.served->how}];
      }
    }
  }
  TerminalTable table({{"host"}, {"asked as"}, {"choices", Align::right}});
  for (const auto& [who, count] : counts) table.add_row({who.first, who.second, with_thousands(count)});
  return table.text(columns);
}

}  // namespace

Status explain_swarm(const PlaceFlags& place, const std::string& text, bool json,
                     const Interrupt& interrupt) {
  AGORA_ASSIGN_OR_RETURN(const auto client, SwarmClient::open(place, interrupt));
  AGORA_ASSIGN_OR_RETURN(
      const dashboard::PeerEntry server,
      client->someone([](const swarm::PeerState& state) { return state.server; }, "serve"));
  const peers::Reply reply = client->ask(server, swarm::kExplain, peers::Payload::copy(base::as_bytes(text)));
  if (!reply.status.ok()) return failure(reply, server.at);
  const std::string_view answer = base::as_text(reply.payload.bytes());
  AGORA_ASSIGN_OR_RETURN(const nlohmann::json parsed,
                         weights::parse_json(answer, "explanation", {serve::kExplainBytesMax, kDepthMax}));
  if (!parsed.is_object() || !parsed.contains("text")) {
    return absl::InvalidArgumentError(
        absl::StrCat(server.at.text(), ": expected an explanation: an object with \"text\""));
  }
  AGORA_ASSIGN_OR_RETURN(std::vector<model::TokenTrace> trace, serve::read_trace_json(parsed.at("text")));
  if (json) {
    std::cout << answer << "\n";
    return absl::OkStatus();
  }
  const TerminalDevice device = inspect_terminal(STDOUT_FILENO);
  const std::string served = served_text(trace, device.columns);
  ExplainReport report;
  report.model = absl::StrCat("swarm, server ", server.peer.brief());
  report.trace = std::move(trace);
  std::cout << explain_text(report, device) << "\nWho served the choices\n" << served;
  return absl::OkStatus();
}

}  // namespace agora::cli
