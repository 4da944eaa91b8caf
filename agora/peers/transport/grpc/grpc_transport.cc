#include "agora/peers/transport/grpc/grpc_transport.h"

#include <pthread.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "agora/base/text.h"
#include "agora/peers/transport/calls.h"
#include "agora/peers/transport/grpc/acceptor.h"
#include "agora/peers/transport/grpc/epoll_loop.h"
#include "agora/peers/transport/grpc/stream.h"
#include "agora/peers/transport/grpc/tls.h"
#include "agora/peers/transport/peer_table.h"
#include <grpc/support/log.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

namespace agora::peers {
namespace {

const RealClock kClock;

// Both directions: how much of a stream may be on its way before its reader has taken it, at first; gRPC then
// measures what the way holds. Above a chunk, so that a large payload does not wait a round trip for every
// 64 KiB.
constexpr int kWindowBytes = 4 << 20;
constexpr int kCallAttempts = 3;  // a session may close between being found and being used

int milliseconds(int64_t ns) { return static_cast<int>(ns / base::kMillisecondNs); }

std::map<std::string, int> arguments(const TransportLimits& limits) {
  return {
      {GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, static_cast<int>(kFrameBytesMax)},
      {GRPC_ARG_MAX_METADATA_SIZE, 4096},
      {GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindowBytes},
      {GRPC_ARG_KEEPALIVE_TIME_MS, milliseconds(limits.silence_ns_max / 2)},
      {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, milliseconds(limits.silence_ns_max / 2)},
      {GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0},
      {GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 100},
      {GRPC_ARG_MAX_CONCURRENT_STREAMS, 1},
      {GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, milliseconds(limits.proof_ns_max)},
      {GRPC_ARG_MAX_CONNECTION_IDLE_MS, milliseconds(limits.proof_ns_max)},
      {GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, milliseconds(limits.proof_ns_max)},
      // Every dial is a connection of its own: keys are pinned for it, and it is not dialed again behind us.
      {GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1},
      {GRPC_ARG_ENABLE_HTTP_PROXY, 0},
      {GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1},
      {GRPC_ARG_ENABLE_RETRIES, 0}};
}

}  // namespace

class GrpcTransport::Impl {
 public:
  Impl(const Identity& identity, const GrpcTransportConfig& config)
      : identity_(identity), limits_(config.limits), table_(identity.id(), config.limits) {
    context_ = std::make_shared<SessionContext>(kClock, std::make_shared<Calls>(loop_));
    context_->self = identity.id();
    context_->incarnation = load_random();
    context_->swarm_key = config.swarm_key;
    context_->limits = config.limits;
    context_->opened = [this](const std::shared_ptr<Session>& session) { return opened(session); };
    context_->closed = [this](const std::shared_ptr<Session>& session, const Status&) { closed(session); };
  }
  ~Impl() { stop(); }

  Status start(const GrpcTransportConfig& config);
  void stop();
  CallId call(const CallSettings& settings, Payload payload, CallEvents events);
  SessionContext& context() { return *context_; }
  const Endpoint& endpoint() const { return acceptor_->endpoint(); }

 private:
  static uint64_t load_random() { return base::load_le<uint64_t>(random_nonce().data()); }
  void run_queue();
  void accept_next();
  std::shared_ptr<Session> accepted(const Endpoint& from, const PeerId& peer);
  Status opened(const std::shared_ptr<Session>& session);
  void closed(const std::shared_ptr<Session>& session);
  void limit_greeting(const std::shared_ptr<Session>& session);
  StatusOr<std::shared_ptr<Session>> session_for(const CallSettings& settings);
  void dial(const CallSettings& settings, const std::shared_ptr<Session>& session);
  Status send(CallId id, const CallSettings& settings, const Payload& payload);

  const Identity identity_;
  const TransportLimits limits_;
  EpollLoop loop_{"agora-port"};
  std::shared_ptr<SessionContext> context_;
  PeerTable table_;
  std::atomic<uint64_t> dials_{0};
  StreamCount streams_;

  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> connections_;
  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Acceptor> acceptor_;
  std::thread thread_;

  base::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

Status GrpcTransport::Impl::start(const GrpcTransportConfig& config) {
  AGORA_ASSIGN_OR_RETURN(acceptor_,
                         Acceptor::open(config.listen, limits_, loop_, context_->meters, [this](int fd) {
                           grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
                           connection.listener_fd = -1;
                           connection.fd = fd;
                           connections_->HandleNewConnection(&connection);
                         }));

  grpc::ServerBuilder builder;
  using External = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  connections_ = builder.experimental().AddExternalConnectionAcceptor(
      External::FROM_FD, server_credentials(
                             identity_, [this] { ++context_->meters.connections_refused; },
                             [this](const PeerId& peer) { acceptor_->passed().second_stream(peer); }));
  for (const auto& [name, value] : arguments(limits_)) builder.AddChannelArgument(name, value);
  builder.RegisterAsyncGenericService(&service_);
  queue_ = builder.AddCompletionQueue();
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) return absl::UnavailableError("gRPC could not start its server");
  thread_ = std::thread([this] { run_queue(); });
  pthread_setname_np(thread_.native_handle(), "agora-grpc");
  accept_next();
  acceptor_->listen();
  return absl::OkStatus();
}

void GrpcTransport::Impl::run_queue() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_->Next(&tag, &ok)) GrpcStream::complete(tag, ok);
}

void GrpcTransport::Impl::accept_next() {
  GrpcStream::start(std::make_shared<AcceptedStream>(
      streams_, *queue_, service_, limits_.proof_ns_max,
      [this](const std::string& from, const PeerId& peer) { return accepted(endpoint_of_uri(from), peer); }));
}

std::shared_ptr<Session> GrpcTransport::Impl::accepted(const Endpoint& from, const PeerId& peer) {
  accept_next();
  acceptor_->passed().streams(from, peer);
  auto session = std::make_shared<Session>(context_, Session::Role::acceptor, /*dial=*/0, from);
  limit_greeting(session);
  return session;
}

void GrpcTransport::Impl::limit_greeting(const std::shared_ptr<Session>& session) {
  loop_.after(limits_.proof_ns_max, [this, weak = std::weak_ptr(session)] {
    const auto late = weak.lock();
    if (late == nullptr || late->open()) return;
    if (late->role() == Session::Role::acceptor) ++context_->meters.connections_refused;
    late->close(absl::UnavailableError("the peer did not say who it is in time"));
  });
}

Status GrpcTransport::Impl::opened(const std::shared_ptr<Session>& session) {
  if (session->role() == Session::Role::acceptor) acceptor_->passed().proven(session->from());
  if (table_.open_count() >= static_cast<size_t>(limits_.connections_max)) {
    return absl::ResourceExhaustedError("the peer has as many connections as it takes");
  }
  const PeerTable::Displaced displaced = table_.opened(session);
  for (const auto& other : displaced.retire) other->retire();
  for (const auto& other : displaced.close) {
    other->close(absl::UnavailableError("another connection to the peer took over"));
  }
  return absl::OkStatus();
}

void GrpcTransport::Impl::closed(const std::shared_ptr<Session>& session) {
  if (session->role() == Session::Role::acceptor) acceptor_->passed().left(session->from());
  table_.closed(session, kClock.now_ns());
}

void GrpcTransport::Impl::dial(const CallSettings& settings, const std::shared_ptr<Session>& session) {
  const auto pin = std::make_shared<Pin>(settings.to);
  grpc::ChannelArguments channel_arguments;
  for (const auto& [name, value] : arguments(limits_)) channel_arguments.SetInt(name, value);
  channel_arguments.SetSslTargetNameOverride("agora");  // in place of the address, which nobody checks either
  // Without the scheme a host that is called as one, "unix", would choose it.
  auto channel = grpc::CreateCustomChannel("dns:///" + settings.at.text(), client_credentials(identity_, pin),
                                           channel_arguments);
  const auto stream = std::make_shared<DialedStream>(streams_, *queue_, session, std::move(channel), pin);
  session->attach(stream);
  limit_greeting(session);
  GrpcStream::start(stream);
}

StatusOr<std::shared_ptr<Session>> GrpcTransport::Impl::session_for(const CallSettings& settings) {
  if (auto session = table_.find(settings)) return session;
  base::MutexLock lock(mutex_);  // a stream that begins after stop() would never end
  if (stopping_) return absl::CancelledError("the transport was stopped");
  const auto fresh = std::make_shared<Session>(context_, Session::Role::dialer, ++dials_);
  AGORA_ASSIGN_OR_RETURN(auto session, table_.begin_dial(settings, fresh, kClock.now_ns()));
  if (session == fresh) dial(settings, session);
  return session;
}

Status GrpcTransport::Impl::send(CallId id, const CallSettings& settings, const Payload& payload) {
  Status sent;
  for (int attempt = 0; attempt < kCallAttempts; ++attempt) {
    AGORA_ASSIGN_OR_RETURN(const std::shared_ptr<Session> session, session_for(settings));
    context_->calls->set_link(id, session);
    sent = session->request(id, settings, payload);
    if (!absl::IsUnavailable(sent)) break;
  }
  return sent;
}

CallId GrpcTransport::Impl::call(const CallSettings& asked, Payload payload, CallEvents events) {
  CallSettings settings = asked;
  settings.deadline_ns = std::min(settings.deadline_ns, kClock.now_ns() + kDeadlineNsMax);
  const CallId id = context_->calls->add(settings.deadline_ns, events, nullptr);
  if (id == CallId{}) {
    events.done({.status = absl::CancelledError("the transport was stopped")});
    return id;
  }
  ++context_->meters.calls_sent;
  Status sent = check_call(settings, payload, context_->self, endpoint());
  if (sent.ok()) sent = send(id, settings, payload);
  if (!sent.ok()) {
    loop_.post([calls = context_->calls, id, sent] { calls->end(id, {.status = sent}); });
  }
  return id;
}

void GrpcTransport::Impl::stop() {
  {
    base::MutexLock lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
  }
  if (acceptor_ != nullptr) acceptor_->stop();
  context_->calls->stop();
  for (const auto& session : table_.all()) session->close(absl::UnavailableError("the peer stops"));
  if (server_ != nullptr) {
    server_->Shutdown(std::chrono::system_clock::now());  // ends what is accepted, and the wait for the next
    streams_.wait_for_none();
    queue_->Shutdown();
    thread_.join();
    server_->Wait();
  }
  context_->handlers.stop();
  loop_.stop();
}

void prepare_grpc() {
  // Of 1.51's own experiments, standard in later versions: a window's update no more for every message. Who
  // names experiments himself keeps his.
  ::setenv("GRPC_EXPERIMENTS", "flow_control_fixes", /*overwrite=*/0);
  gpr_set_log_function([](gpr_log_func_args*) {});
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

StatusOr<std::unique_ptr<GrpcTransport>> GrpcTransport::start(const Identity& identity,
                                                              const GrpcTransportConfig& config) {
  auto impl = std::make_unique<Impl>(identity, config);
  AGORA_RETURN_IF_ERROR(impl->start(config));
  return std::unique_ptr<GrpcTransport>(new GrpcTransport(std::move(impl)));
}

GrpcTransport::GrpcTransport(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GrpcTransport::~GrpcTransport() = default;

const PeerId& GrpcTransport::self() const { return impl_->context().self; }
const Endpoint& GrpcTransport::endpoint() const { return impl_->endpoint(); }
CallId GrpcTransport::call(const CallSettings& settings, Payload payload, CallEvents events) {
  return impl_->call(settings, std::move(payload), std::move(events));
}
void GrpcTransport::cancel(CallId call) { impl_->context().calls->cancel(call); }
void GrpcTransport::serve(Method method, CallHandler handler) {
  impl_->context().handlers.serve(method, std::move(handler));
}
void GrpcTransport::stop() { impl_->stop(); }
TransportCounters GrpcTransport::counters() const {
  return impl_->context().meters.read(*impl_->context().calls);
}

}  // namespace agora::peers
