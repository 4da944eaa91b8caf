#include "agora/serve/swarm_server.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "agora/base/text.h"
#include "agora/model/model_folder.h"
#include "agora/serve/explain_swarm.h"
#include "agora/swarm/wire/method.h"

namespace agora::serve {
namespace {

StatusOr<model::ModelConfig> text_config(const swarm::SwarmSpec& spec) {
  AGORA_ASSIGN_OR_RETURN(model::ModelConfig config,
                         model::config_among(spec.files, spec.layers, spec.experts));
  if (config.frontend == model::FrontendKind::text && config.head == model::HeadKind::next_token) {
    if (spec.updates == swarm::UpdateMode::synchronous) return config;
    return model::with_room(config, spec.experts_max);  // as trainers hand out their trunks
  }
  return absl::InvalidArgumentError(base::concat("swarm ", base::in_quotes(spec.name),
                                                 " trains a model that is not of text: it can not be asked"));
}

swarm::RemoteExpertsConfig gate_config(const swarm::SwarmSpec& spec, const SwarmServerSettings& settings,
                                       swarm::MixObserver& observer) {
  return {.priority = peers::Priority::interactive,
          .exact = settings.exact,
          // Kernels of bf16 round a row anyway: it travels as they would see it.
          .rows = spec.bf16 ? swarm::RowDtype::bf16 : swarm::RowDtype::f32,
          .seed = settings.seed,
          .observer = &observer};
}

// A peer that asked.
class CallAsker final : public Asker {
 public:
  CallAsker(std::shared_ptr<peers::IncomingCall> call, const SwarmServer& server, const ServerPeer& peer)
      : call_(std::move(call)), server_(server), peer_(peer), begin_ns_(peer.loop.now_ns()) {}

  void part(AskPart part) override { call_->part(encode(part)); }
  void done(const Status& status, const AskSummary& summary) override {
    call_->reply(status, encode(summary), server_.load_us());
    if (peer_.trace == nullptr) return;
    peer_.trace->add({call_->trace(), "server.ask", begin_ns_, peer_.loop.now_ns(),
                      base::concat(summary.prompt_tokens, " tokens read, ", summary.answer_tokens,
                                   " answered", status.ok() ? "" : ": ", status.message())});
  }
  bool gone() const override { return call_->abandoned(); }

 private:
  std::shared_ptr<peers::IncomingCall> call_;
  const SwarmServer& server_;
  const ServerPeer& peer_;
  int64_t begin_ns_;
};

}  // namespace

StatusOr<std::unique_ptr<SwarmServer>> SwarmServer::create(const ServerPeer& peer,
                                                           const swarm::SwarmSpec& spec,
                                                           const kernels::Compute& compute,
                                                           const SwarmServerSettings& settings) {
  AGORA_ASSIGN_OR_RETURN(const model::ModelConfig config, text_config(spec));
  AGORA_ASSIGN_OR_RETURN(std::unique_ptr<model::Tokenizer> tokenizer,
                         model::Tokenizer::from_files(spec.files, "the swarm's specification"));
  return std::unique_ptr<SwarmServer>(
      new SwarmServer(peer, spec, compute, settings, config, std::move(tokenizer)));
}

SwarmServer::SwarmServer(const ServerPeer& peer, const swarm::SwarmSpec& spec,
                         const kernels::Compute& compute, const SwarmServerSettings& settings,
                         const model::ModelConfig& config, std::unique_ptr<model::Tokenizer> tokenizer)
    : peer_(peer),
      spec_(spec),
      tokenizer_(std::move(tokenizer)),
      answerer_(std::make_unique<Answerer>(compute, peer.loop, *tokenizer_, settings.limits)),
      experts_(
          std::make_unique<swarm::RemoteExperts>(peer.loop, peer.transport, peer.finder, spec_,
                                                 gate_config(spec, settings, answerer_->mix_observer()))),
      follower_(TrunkFollower::start(
          {peer.loop, peer.transport, peer.directory, spec_},
          [this, config] { return model::Model::create(config, *experts_, tensor::Train::no); }, *answerer_,
          settings.trunks)) {
  peer.transport.serve(swarm::kAsk, [this](auto call) { on_ask(std::move(call)); });
  peer.transport.serve(swarm::kExplain, [this](auto call) { on_explain(std::move(call)); });
}

// Models ask the experts, and askers the server, until the answerer has stopped.
SwarmServer::~SwarmServer() {
  follower_->stop();
  answerer_->stop();
}

void SwarmServer::ask(Question question, std::shared_ptr<Asker> asker) {
  answerer_->ask(std::move(question), std::move(asker));
}

void SwarmServer::explain(std::string text, std::function<void(StatusOr<std::string>)> done) {
  const Status queued = answerer_->look([this, text = std::move(text), done](Glance& glance) {
    done(explain_swarm(glance, *tokenizer_, spec_.name, text));
    explained_.fetch_add(1);
  });
  if (!queued.ok()) done(queued);
}

void SwarmServer::on_ask(std::shared_ptr<peers::IncomingCall> call) {
  auto request = decode_ask_request(call->payload().bytes());
  if (!request.ok()) {
    malformed_.fetch_add(1);
    call->reply(request.status());
    return;
  }
  Question question{*std::move(request), call->priority(), call->deadline_ns(), call->trace()};
  ask(std::move(question), std::make_shared<CallAsker>(std::move(call), *this, peer_));
}

void SwarmServer::on_explain(std::shared_ptr<peers::IncomingCall> call) {
  if (call->payload().size() > kPromptBytesMax) {
    malformed_.fetch_add(1);
    call->reply(absl::InvalidArgumentError(base::concat("explain: expected at most ", kPromptBytesMax,
                                                        " bytes of text, found ", call->payload().size())));
    return;
  }
  explain(std::string(base::as_text(call->payload().bytes())), [this, call](StatusOr<std::string> json) {
    const peers::Payload body = json.ok() ? peers::Payload::copy(base::as_bytes(*json)) : peers::Payload();
    call->reply(json.status(), body, load_us());
  });
}

uint32_t SwarmServer::load_us() const { return answerer_->counters().load_us(); }
const std::string& SwarmServer::model_name() const { return spec_.name; }
swarm::MixReport SwarmServer::take_report() { return experts_->take_report(); }

void SwarmServer::describe(swarm::PeerState& state) const {
  const TrunkCounters trunks = follower_->counters();
  state.server = trunks.any;  // without a trunk there is nothing to ask it
  std::tie(state.trunk_rows, state.trunk_version) =
      std::max(std::pair(state.trunk_rows, state.trunk_version), std::pair(trunks.rows, trunks.version));
  state.load_us = std::max(state.load_us, load_us());
}

SwarmServerCounters SwarmServer::counters() const {
  return {answerer_->counters(), explained_.load(), malformed_.load(), follower_->counters()};
}

}  // namespace agora::serve
