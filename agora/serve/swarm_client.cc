#include "agora/serve/swarm_client.h"

#include <algorithm>
#include <deque>
#include <set>

#include "agora/base/text.h"
#include "agora/peers/transport/mailbox.h"
#include "agora/serve/continued_answer.h"
#include "agora/swarm/peer_state.h"
#include "agora/swarm/wire/method.h"

namespace agora::serve {
namespace {

constexpr int64_t kLookNs = 50 * base::kMillisecondNs;  // how often a waiting client looks for an interrupt

class Asking {
 public:
  Asking(const Servers& servers, AskRequest request, const AskSettings& settings,
         const std::function<void(std::string_view)>& show)
      : servers_(servers),
        settings_(settings),
        show_(show),
        begin_ns_(servers.clock.now_ns()),
        deadline_ns_(begin_ns_ + settings.timeout_ns),
        answer_(std::move(request)) {}

  StatusOr<SwarmAnswer> run() {
    for (;;) {
      AGORA_ASSIGN_OR_RETURN(const ServerAt server, next_server());
      AGORA_ASSIGN_OR_RETURN(const ContinuedAnswer::Next next, ask(server));
      if (next == ContinuedAnswer::Next::failed) return answer_.last_failure();
      if (next == ContinuedAnswer::Next::done) break;
      failed_.insert(server.at);
    }
    SwarmAnswer answer{answer_.summary(), answer_.servers()};
    answer.summary.duration_us = (now_ns() - begin_ns_) / base::kMicrosecondNs;
    return answer;
  }

 private:
  int64_t now_ns() const { return servers_.clock.now_ns(); }

  Status still_wanted() const {
    if (settings_.interrupted()) return absl::CancelledError("interrupted");
    if (now_ns() < deadline_ns_) return absl::OkStatus();
    return absl::DeadlineExceededError(
        base::concat("no whole answer within ", settings_.timeout_ns / base::kSecondNs, " s",
                     answer_.last_failure().ok() ? "" : ": ", answer_.last_failure().message()));
  }

  // The best one that has not failed; when all have, they get another chance after a pause.
  StatusOr<ServerAt> next_server() {
    for (;;) {
      const std::vector<ServerAt> known = servers_.known();
      if (known.empty() && answer_.servers() == 0 && now_ns() >= begin_ns_ + settings_.no_server_ns) {
        return absl::UnavailableError(
            base::concat("no server answered in this swarm for ", settings_.no_server_ns / base::kSecondNs,
                         " s: start one with agora serve, or give the one that starts more time"));
      }
      for (const ServerAt& server : known) {
        if (!failed_.contains(server.at)) return server;
      }
      failed_.clear();
      AGORA_RETURN_IF_ERROR(pause());
    }
  }

  Status pause() {
    peers::Mailbox nothing_comes(1);
    std::deque<peers::Payload> none;
    const int64_t end_ns = now_ns() + settings_.pause_ns;
    while (now_ns() < end_ns) {
      AGORA_RETURN_IF_ERROR(still_wanted());
      nothing_comes.wait(std::min(end_ns, now_ns() + kLookNs), &none);
    }
    return absl::OkStatus();
  }

  StatusOr<ContinuedAnswer::Next> ask(const ServerAt& server) {
    const auto mailbox = std::make_shared<peers::Mailbox>(1);
    const peers::CallSettings settings{.to = server.peer,
                                       .at = server.at,
                                       .method = swarm::kAsk,
                                       .priority = peers::Priority::interactive,
                                       .deadline_ns = deadline_ns_,
                                       .trace = settings_.trace};
    const peers::CallId call =
        servers_.transport.call(settings, answer_.next_request(), peers::Mailbox::events(mailbox, 0));
    auto next = listen(*mailbox);
    servers_.transport.cancel(call);  // nothing happens where it has ended
    return next;
  }

  StatusOr<ContinuedAnswer::Next> listen(peers::Mailbox& mailbox) {
    int64_t silent_at_ns = now_ns() + settings_.first_silence_ns;
    std::deque<peers::Payload> parts;
    while (mailbox.wait(std::min(silent_at_ns, now_ns() + kLookNs), &parts)) {
      for (const peers::Payload& part : parts) {
        const std::string text = answer_.on_part(part.bytes());
        if (!text.empty()) show_(text);
        silent_at_ns = now_ns() + settings_.silence_ns;
      }
      if (answer_.broken()) return answer_.on_reply(absl::OkStatus(), {});
      AGORA_RETURN_IF_ERROR(still_wanted());
      if (now_ns() >= silent_at_ns) {
        return answer_.on_reply(absl::UnavailableError("the server said nothing for too long"), {});
      }
    }
    const peers::Reply reply = mailbox.take()[0];
    return answer_.on_reply(reply.status, reply.payload.bytes());
  }

  const Servers& servers_;
  const AskSettings& settings_;
  const std::function<void(std::string_view)>& show_;
  const int64_t begin_ns_;
  const int64_t deadline_ns_;
  ContinuedAnswer answer_;
  std::set<peers::Endpoint> failed_;  // since the last pause
};

}  // namespace

std::vector<ServerAt> servers_of(const std::vector<std::shared_ptr<const peers::Record>>& records) {
  std::vector<ServerAt> servers;
  for (const auto& record : records) {
    const auto state = swarm::decode_peer_state(record->body);
    if (!state.ok() || !state->server) continue;
    servers.push_back({record->peer, record->endpoint, state->load_us});
  }
  std::ranges::sort(servers, [](const ServerAt& a, const ServerAt& b) {
    return std::tie(a.load_us, a.peer) < std::tie(b.load_us, b.peer);
  });
  return servers;
}

StatusOr<SwarmAnswer> ask_swarm(const Servers& servers, AskRequest request, const AskSettings& settings,
                                const std::function<void(std::string_view)>& show) {
  AGORA_RETURN_IF_ERROR(validate(request));
  return Asking(servers, std::move(request), settings, show).run();
}

}  // namespace agora::serve
