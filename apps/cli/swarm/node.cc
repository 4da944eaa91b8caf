#include "apps/cli/swarm/node.h"

#include <unistd.h>

#include <ctime>
#include <random>

#include "agora/base/run_on.h"
#include "agora/base/text.h"
#include "agora/peers/directory/swarm_directory.h"
#include "agora/peers/ports.h"
#include "agora/peers/transport/grpc/grpc_transport.h"
#include "agora/swarm/wire/method.h"

#include "apps/cli/flag_checks.h"
#include "apps/cli/swarm/own_address.h"
#include "apps/cli/swarm/peer_process.h"
#include "apps/cli/swarm/spec_exchange.h"
#include "apps/cli/swarm/swarm_place.h"
#include "apps/cli/swarm/swarm_recipe.h"
#include "apps/dashboard/page.h"

namespace agora::cli {
namespace {

constexpr int64_t kRefreshNs = base::kSecondNs;
constexpr int64_t kEndNs = 10 * base::kSecondNs;  // that the folder's last peer may need to end
constexpr char kStandardError[] = "-";
constexpr char kJson[] = "application/json";

StatusOr<std::vector<peers::Endpoint>> endpoints_of(const std::vector<std::string>& texts) {
  std::vector<peers::Endpoint> all;
  for (const std::string& text : texts) {
    AGORA_ASSIGN_OR_RETURN(peers::Endpoint at, peers::parse_endpoint(text));
    all.push_back(std::move(at));
  }
  return all;
}

}  // namespace

void add_node_flags(CLI::App& command, NodeFlags& flags) {
  command.add_option("--listen", flags.listen,
                     "HOST:PORT for other peers, TCP and UDP; port 0: any free one");
  command.add_option("--advertise", flags.advertise,
                     "ADDRESS:PORT where others reach this peer, if a router translates it");
  command.add_option("--join", flags.join, "HOST:PORT of any living peer; may be given several times")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command.add_option("--state", flags.state, "folder of this peer: its key, its log, what it holds");
  command.add_option("--spec", flags.spec, "the swarm's specification; empty: asked of --join");
  command.add_option("--swarm-key", flags.swarm_key_file, "file with the key of a private swarm");
  command.add_option("--http", flags.http, "HOST:PORT for the page, /feed, /status and /metrics; off: none");
  command.add_option("--log", flags.log, "file; empty: STATE/log; -: standard error");
  command.add_option("--join-seconds", flags.join_seconds, "how long to look for the first living peer")
      ->check(seconds_above_zero());
}

StatusOr<std::unique_ptr<Node>> Node::open(const NodeFlags& flags, const Interrupt& interrupt) {
  std::unique_ptr<Node> node(new Node(flags));
  AGORA_ASSIGN_OR_RETURN(node->folder_, StateFolder::open(flags.state, kEndNs));
  AGORA_ASSIGN_OR_RETURN(node->join_, endpoints_of(flags.join));
  AGORA_ASSIGN_OR_RETURN(node->identity_, peers::Identity::load_or_create(flags.state + "/peer.key"));
  const std::string log = flags.log.empty() ? flags.state + "/log" : flags.log;
  AGORA_ASSIGN_OR_RETURN(node->log_,
                         NodeLog::open(log == kStandardError ? "" : log, node->identity_.id().brief()));
  node->loop_ = std::make_unique<base::ThreadLoop>("agora-loop");
  node->begun_ns_ = node->loop_->now_ns();
  node->trace_ = std::make_unique<swarm::Trace>(*node->loop_);
  AGORA_RETURN_IF_ERROR(node->open_ports());
  AGORA_RETURN_IF_ERROR(node->find_spec(interrupt));
  node->open_directory();
  node->serve();
  return node;
}

Node::~Node() {
  leave();
  stop();
  if (directory_ != nullptr) base::run_on(*loop_, [this] { directory_.reset(); });
  if (loop_ != nullptr) loop_->stop();
}

Status Node::open_ports() {
  peers::GrpcTransportConfig config;
  AGORA_ASSIGN_OR_RETURN(config.listen, parse_listen("--listen", flags_.listen));
  AGORA_ASSIGN_OR_RETURN(config.swarm_key, swarm_key_in(flags_.swarm_key_file));
  StatusOr<peers::Ports> ports = peers::open_ports(
      *loop_, config.listen, [&] { return peers::GrpcTransport::start(identity_, config); });
  if (!ports.ok()) return base::about("--listen", ports.status());
  transport_ = std::move(ports->transport);
  dht_ = std::move(ports->dht);
  endpoint_ = transport_->endpoint();
  if (!flags_.advertise.empty()) {
    AGORA_ASSIGN_OR_RETURN(endpoint_, parse_advertised(flags_.advertise));
  } else if (is_wildcard(endpoint_.host)) {
    endpoint_.host = own_address(join_.empty() ? peers::Endpoint{} : join_.front());
  }
  return absl::OkStatus();
}

void Node::open_directory() {
  peers::SwarmDirectorySettings settings;
  settings.swarm = spec_.id();
  settings.endpoint = endpoint_;
  settings.first_sequence = static_cast<uint64_t>(std::time(nullptr));
  settings.seed = std::random_device()();
  settings.matters_to_all = [](const peers::Record& record) { return swarm::matters_to_all(record.body); };
  base::run_on(*loop_, [&] {
    directory_ = peers::SwarmDirectory::create(settings, identity_, *loop_, *transport_, *dht_);
    directory_->subscribe([this](const peers::DirectoryEvent& event) { log_event(event); });
    for (const peers::Endpoint& at : join_) directory_->join(at);
  });
}

Status Node::find_spec(const Interrupt& interrupt) {
  if (flags_.spec.empty()) {
    AGORA_ASSIGN_OR_RETURN(spec_, fetch_spec(*transport_, join_, flags_.join_seconds, interrupt));
  } else {
    AGORA_ASSIGN_OR_RETURN(spec_, read_spec_file(flags_.spec));
  }
  spec_id_ = spec_.id().text();
  log_->info("swarm", {{"name", spec_.name}, {"id", spec_id_}, {"at", endpoint_.text()}});
  return absl::OkStatus();
}

void Node::serve() {
  serve_spec(*transport_, spec_);
  transport_->serve(swarm::kGetStatus, [this](const std::shared_ptr<peers::IncomingCall>& call) {
    dashboard::PeerStatus status = this->status();
    if (base::as_text(call->payload().bytes()) == dashboard::kSelfOnly) status.known.clear();
    call->reply(absl::OkStatus(), peers::Payload::copy(base::as_bytes(dashboard::status_text(status))));
  });
  transport_->serve(swarm::kGetTrace,
                    [this](const std::shared_ptr<peers::IncomingCall>& call) { trace_->reply_to(*call); });
}

void Node::log_event(const peers::DirectoryEvent& event) {
  if (event.kind == peers::DirectoryEvent::Kind::changed) return;
  const bool seen = event.kind == peers::DirectoryEvent::Kind::seen;
  log_->info(seen ? "peer seen" : "peer gone",
             {{"other", event.record->peer.brief()}, {"at", event.record->endpoint.text()}});
}

void Node::contribute(Contribution contribution) { contributions_.push_back(std::move(contribution)); }

std::vector<HttpPage> Node::pages() {
  std::vector<HttpPage> pages = {{"/metrics", "text/plain; version=0.0.4",
                                  [this] {
                                    base::MutexLock lock(mutex_);
                                    return prometheus_text(metrics_, identity_.id().brief());
                                  }},
                                 {"/status", kJson, [this] { return dashboard::status_text(status()); }},
                                 {"/feed", kJson, [this] { return feed_->json(); }}};
  for (const dashboard::PageFile& file : dashboard::page_files()) {
    pages.push_back({std::string(file.path), file.type, [file] { return std::string(file.content); }});
  }
  return pages;
}

Status Node::begin() {
  feed_.emplace(*transport_, *loop_);
  if (!flags_.http.empty() && flags_.http != "off") {
    AGORA_ASSIGN_OR_RETURN(const peers::Endpoint listen, parse_listen("--http", flags_.http));
    AGORA_ASSIGN_OR_RETURN(http_, HttpFront::start(listen, pages(), dashboard::kPagePolicy));
  }
  base::run_on(*loop_, [this] { refresh(); });
  return absl::OkStatus();
}

dashboard::PeerStatus Node::describe(std::vector<Metric>& metrics) const {
  dashboard::PeerStatus status;
  status.self = {identity_.id(), endpoint_, {}};
  status.self.state.http_port = http().port;
  for (const Contribution& contribution : contributions_) contribution(status.self.state, metrics);
  append_metrics(status.self.state, metrics);
  append_metrics(transport_->counters(), metrics);
  append_metrics(directory_->counters(), metrics);
  for (const Metric& metric : metrics) status.metrics[metric.name] = metric.value;
  status.swarm = spec_.name;
  status.swarm_id = spec_id_;
  status.pid = getpid();
  status.uptime_s = static_cast<double>(loop_->now_ns() - begun_ns_) / static_cast<double>(base::kSecondNs);
  for (const std::shared_ptr<const peers::Record>& record : directory_->records()) {
    const StatusOr<swarm::PeerState> state = swarm::decode_peer_state(record->body);
    if (state.ok()) status.known.push_back({record->peer, record->endpoint, *state});
  }
  return status;
}

void Node::refresh() {
  std::vector<Metric> metrics;
  dashboard::PeerStatus status = describe(metrics);
  directory_->publish(swarm::encode(status.self.state));
  refresh_timer_ = loop_->after(kRefreshNs, [this] { refresh(); });
  feed_->note(status);
  base::MutexLock lock(mutex_);
  status_ = std::move(status);
  metrics_ = std::move(metrics);
}

void Node::leave() {
  if (left_ || directory_ == nullptr) return;
  left_ = true;
  log_->info("leaves");
  // The others are told while this waits: a second at most.
  base::run_until(*loop_, [this](const std::function<void()>& done) {
    loop_->cancel(refresh_timer_);
    contributions_.clear();
    directory_->leave(done);
  });
}

void Node::stop() {
  if (stopped_) return;
  stopped_ = true;
  http_.reset();
  if (transport_ != nullptr) transport_->stop();
}

dashboard::PeerStatus Node::status() const {
  base::MutexLock lock(mutex_);
  return status_;
}

}  // namespace agora::cli
