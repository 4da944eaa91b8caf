#include "apps/cli/swarm/swarm_ask.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agora/base/clock.h"
#include "agora/serve/swarm_client.h"
#include <nlohmann/json.hpp>

#include "apps/cli/json_line.h"
#include "apps/cli/swarm/swarm_client.h"
#include "apps/cli/swarm/trace_view.h"
#include "apps/cli/terminal_text.h"

namespace agora::cli {
namespace {

using Json = nlohmann::ordered_json;

uint64_t random_number() {
  std::random_device device;
  const uint64_t number = uint64_t{device()} << 32 | device();
  return number == 0 ? 1 : number;
}

// Whoever answers as a server now, the shortest queue first.
std::vector<serve::ServerAt> servers_of(SwarmClient& client) {
  std::vector<serve::ServerAt> servers;
  const StatusOr<std::vector<dashboard::PeerStatus>> all = client.everyone();
  if (!all.ok()) return servers;
  for (const dashboard::PeerStatus& status : *all) {
    const dashboard::PeerEntry& self = status.self;
    if (self.state.server) servers.push_back({self.peer, self.at, self.state.load_us});
  }
  std::ranges::stable_sort(servers, {}, &serve::ServerAt::load_us);
  return servers;
}

double lost_share(const serve::AskSummary& summary) {
  return summary.gate_mass > 0 ? summary.gate_mass_lost / summary.gate_mass : 0;
}

Json answer_json(const serve::SwarmAnswer& answer, const std::string& text, double rate, uint64_t trace) {
  const serve::AskSummary& s = answer.summary;
  return {{"answer", text},
          {"tokens", s.answer_tokens},
          {"finish", std::string(serve::name_of(s.finish))},
          {"tokens_per_second", rate},
          {"request", swarm::request_text(trace)},
          {"servers", answer.servers},
          {"trunk_version", s.trunk_version},
          {"expert_version_min", s.expert_version_min},
          {"expert_version_max", s.expert_version_max},
          {"by_replica", s.by_replica},
          {"by_hedge", s.by_hedge},
          {"by_next_expert", s.by_next_expert},
          {"lost", s.lost},
          {"gate_mass", s.gate_mass},
          {"gate_mass_lost", s.gate_mass_lost}};
}

void print_end(const serve::SwarmAnswer& answer, double rate, uint64_t trace) {
  std::cout << std::endl;
  if (isatty(STDERR_FILENO) == 0) return;
  std::cerr << absl::StrFormat(
      "[%d tokens, %.0f a second, ended by %s; %.2f %% of the gates' weight lost; agora trace %s]\n",
      answer.summary.answer_tokens, rate, std::string(serve::name_of(answer.summary.finish)),
      100 * lost_share(answer.summary), swarm::request_text(trace));
}

}  // namespace

Status ask_swarm(const PlaceFlags& place, const serve::AskRequest& request, bool json,
                 const Interrupt& interrupt) {
  AGORA_RETURN_IF_ERROR(serve::validate(request));
  AGORA_ASSIGN_OR_RETURN(const auto client, SwarmClient::open(place, interrupt));
  AGORA_RETURN_IF_ERROR(client->anyone().status());
  const RealClock clock;
  const int64_t begin_ns = clock.now_ns();
  serve::AskSettings settings;
  settings.no_server_ns = static_cast<int64_t>(client->seconds() * 1e9);
  settings.trace = random_number();
  settings.interrupted = [&] { return interrupt.load(); };
  const bool terminal = isatty(STDOUT_FILENO) == 1;  // which whoever answers must not steer
  VisibleLines lines;
  std::string text;
  bool begun = false;  // the prompt is shown before the first piece, not before an error
  const auto show = [&](std::string_view piece) {
    text += piece;
    if (json) return;
    if (!std::exchange(begun, true)) std::cout << request.prompt;
    std::cout << (terminal ? lines.take(piece) : std::string(piece)) << std::flush;
  };
  const StatusOr<serve::SwarmAnswer> answer = serve::ask_swarm(
      {client->transport(), clock, [&] { return servers_of(*client); }}, request, settings, show);
  if (!answer.ok()) {
    if (begun) std::cout << std::endl;
    return interrupt.load() ? absl::OkStatus() : answer.status();
  }
  const double seconds = static_cast<double>(clock.now_ns() - begin_ns) * 1e-9;
  const double rate = static_cast<double>(answer->summary.answer_tokens) / seconds;
  if (json) {
    std::cout << json_line(answer_json(*answer, text, rate, settings.trace)) << std::endl;
  } else {
    if (!begun) show("");
    print_end(*answer, rate, settings.trace);
  }
  return absl::OkStatus();
}

}  // namespace agora::cli
