#include "agora/peers/transport/grpc/grpc_transport.h"

#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "agora/base/clock.h"
#include "agora/base/rng.h"
#include "agora/peers/transport/grpc/acceptor.h"
#include "agora/peers/transport/grpc/stream.h"
#include "agora/peers/transport/grpc/tls.h"
#include <arpa/inet.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

namespace agora::peers {
namespace {

constexpr Method kEcho{20}, kLong{21};
constexpr int64_t kSecondNs = 1'000'000'000;

template <class Condition>
bool await(const Condition& so) {
  const RealClock clock;
  const int64_t until_ns = clock.now_ns() + 60 * kSecondNs;
  while (!so() && clock.now_ns() < until_ns) std::this_thread::yield();
  return so();
}

std::unique_ptr<GrpcTransport> make_peer(std::optional<SwarmKey> key = {},
                                         const TransportLimits& limits = {}) {
  auto peer = GrpcTransport::start(
      Identity::generate(), {.listen = {"127.0.0.1", 0}, .swarm_key = std::move(key), .limits = limits});
  EXPECT_TRUE(peer.ok()) << peer.status();
  (*peer)->serve(kEcho,
                 [](std::shared_ptr<IncomingCall> call) { call->reply(absl::OkStatus(), call->payload()); });
  return *std::move(peer);
}

Reply ask(Transport& from, const Transport& to, size_t bytes = 10, Priority priority = Priority::training) {
  std::atomic<bool> done{false};
  Reply reply;
  from.call({.to = to.self(),
             .at = to.endpoint(),
             .method = kEcho,
             .priority = priority,
             .deadline_ns = RealClock().now_ns() + 30 * kSecondNs},
            Payload::own(std::vector<std::byte>(bytes)), [&](Reply r) {
              reply = std::move(r);
              done = true;
            });
  EXPECT_TRUE(await([&] { return done.load(); }));
  return reply;
}

class RawConnection {
 public:
  explicit RawConnection(const Endpoint& to) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(to.port);
    ::inet_pton(AF_INET, to.host.c_str(), &address.sin_addr);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~RawConnection() { ::close(fd_); }
  RawConnection(const RawConnection&) = delete;

  bool connected() const { return connected_; }
  void send(const std::vector<std::byte>& bytes) {
    [[maybe_unused]] const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  bool closed() {
    char byte;
    const ssize_t n = ::recv(fd_, &byte, 1, MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
  }

 private:
  const int fd_;
  bool connected_ = false;
};

SwarmKey key_of(uint8_t value) {
  SwarmKey key;
  key.fill(static_cast<std::byte>(value));
  return key;
}

TEST(GrpcTransport, APrivateSwarmLetsInOnlyWhoHasTheKey) {
  const auto host = make_peer(key_of(1)), member = make_peer(key_of(1)), other = make_peer(key_of(2)),
             without = make_peer();
  EXPECT_TRUE(ask(*member, *host).status.ok());
  const auto refused = [](const Status& status) {
    return absl::IsPermissionDenied(status) ? testing::AssertionSuccess()
                                            : testing::AssertionFailure() << status;
  };
  EXPECT_TRUE(refused(ask(*other, *host).status));
  EXPECT_TRUE(refused(ask(*without, *host).status));
  EXPECT_TRUE(refused(ask(*host, *without).status));
  // Who sees first that the proofs do not fit refuses, and counts.
  EXPECT_TRUE(await([&] {
    return host->counters().connections_refused + other->counters().connections_refused +
               without->counters().connections_refused >=
           3;
  }));
  EXPECT_EQ(host->counters().calls_received, 1u);
  EXPECT_EQ(without->counters().calls_received, 0u);
  EXPECT_TRUE(ask(*member, *host).status.ok());
}

TEST(GrpcTransport, ListensAtANameAndSaysItsAddress) {
  const auto peer =
      GrpcTransport::start(Identity::generate(), {.listen = {"localhost", 0}, .swarm_key = {}, .limits = {}});
  ASSERT_TRUE(peer.ok()) << peer.status();
  EXPECT_TRUE(is_address((*peer)->endpoint().host)) << (*peer)->endpoint().host;
}

TEST(GrpcTransport, TheSamePortTwiceIsRefused) {
  const auto peer = make_peer();
  const auto again =
      GrpcTransport::start(Identity::generate(), {.listen = peer->endpoint(), .swarm_key = {}, .limits = {}});
  EXPECT_TRUE(absl::IsUnavailable(again.status())) << again.status();
}

TEST(GrpcTransport, RandomBytesAreDroppedAndCounted) {
  const auto host = make_peer(), friendly = make_peer();
  Rng rng(7);
  std::vector<std::unique_ptr<RawConnection>> connections;
  for (int i = 0; i < 50; ++i) {
    std::vector<std::byte> bytes(1 + rng.below(3000));
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(rng.next_u32());
    if (i % 2 == 0) bytes[0] = std::byte{0};
    // Every second one looks like a TLS hello until TLS itself reads it.
    const std::vector<std::byte> hello = {std::byte{22}, std::byte{3}, std::byte{1}, std::byte{0},
                                          std::byte{100}};
    if (i % 2 == 1) bytes.insert(bytes.begin(), hello.begin(), hello.end());
    bytes.resize(std::max<size_t>(bytes.size(), 200));
    connections.push_back(std::make_unique<RawConnection>(host->endpoint()));
    connections.back()->send(bytes);
  }
  for (const auto& connection : connections) EXPECT_TRUE(await([&] { return connection->closed(); }));
  EXPECT_GE(host->counters().connections_refused, 25u);
  EXPECT_TRUE(ask(*friendly, *host).status.ok());
}

TEST(GrpcTransport, FiveThousandIdleConnectionsDoNotFreezeIt) {
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  const TransportLimits limits{.proof_ns_max = kSecondNs};
  const auto host = make_peer({}, limits), friendly = make_peer();
  std::vector<std::unique_ptr<RawConnection>> idle;
  const size_t count = files.rlim_max >= 8192 ? 5000 : files.rlim_max / 2;
  for (size_t i = 0; i < count; ++i) {
    idle.push_back(std::make_unique<RawConnection>(host->endpoint()));
    if (i % 3 == 0) idle.back()->send({std::byte{22}, std::byte{3}});  // and never more
  }
  EXPECT_TRUE(ask(*friendly, *host).status.ok());
  EXPECT_TRUE(await([&] { return host->counters().connections_refused >= count; }));
  size_t open = 0;
  for (const auto& connection : idle) open += connection->connected() && !connection->closed() ? 1 : 0;
  EXPECT_EQ(open, 0u);
  EXPECT_TRUE(ask(*friendly, *host).status.ok());
}

std::shared_ptr<grpc::Channel> dial_as_stranger(const Transport& host) {
  grpc::ChannelArguments arguments;
  arguments.SetSslTargetNameOverride("agora");
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // its window stays as it is
  return grpc::CreateCustomChannel(
      host.endpoint().text(), client_credentials(Identity::generate(), std::make_shared<Pin>(host.self())),
      arguments);
}

// A peer that the test plays, over gRPC itself. It reads nothing.
class DeafPeer {
 public:
  explicit DeafPeer(const Transport& host) : channel_(dial_as_stranger(host)) {
    stream_ = grpc::GenericStub(channel_).PrepareCall(&context_, kStreamMethod, &queue_);
    stream_->StartCall(this);
    EXPECT_TRUE(next());
  }
  ~DeafPeer() {
    context_.TryCancel();
    grpc::Status status;
    stream_->Finish(&status, this);
    next();
  }
  DeafPeer(const DeafPeer&) = delete;

  void write(const FrameHeader& header, const Payload& payload = {}) {
    const HeaderBytes head = encode_header(header);
    const std::array<grpc::Slice, 2> slices = {grpc::Slice(head.data(), head.size()),
                                               grpc::Slice(payload.bytes().data(), payload.size())};
    stream_->Write(grpc::ByteBuffer(slices.data(), slices.size()), this);
    EXPECT_TRUE(next());
  }

 private:
  bool next() {
    void* tag = nullptr;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }

  grpc::CompletionQueue queue_;
  grpc::ClientContext context_;
  const std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
};

TEST(GrpcTransport, WhoIsThrownOutAndReadsNothingGoesToo) {
  const auto host = make_peer({}, {.proof_ns_max = kSecondNs});
  DeafPeer deaf(*host);
  const Payload hello = encode_hello({.incarnation = 1, .dial = 1, .nonce = {}});
  deaf.write({.kind = FrameKind::hello, .payload_bytes = static_cast<uint32_t>(hello.size())}, hello);
  deaf.write({.kind = FrameKind::proof});
  EXPECT_TRUE(await([&] { return host->counters().connections == 1; }));
  constexpr uint32_t kChunks = 16;  // the answer is more than the window holds
  const Payload chunk = Payload::own(std::vector<std::byte>(kChunkBytes));
  deaf.write({.kind = FrameKind::request,
              .method = kEcho,
              .call = 1,
              .number = 30'000'000,
              .payload_bytes = kChunks * kChunkBytes},
             chunk);
  for (uint32_t i = 1; i < kChunks; ++i) deaf.write({.kind = FrameKind::more, .call = 1}, chunk);
  deaf.write({.kind = FrameKind::proof});  // a second one
  EXPECT_TRUE(await([&] { return host->counters().connections == 0; }));
}

constexpr const char* kLate = "the peer did not say who it is in time";

// Opens a stream, says nothing and waits for its end. cancelled: ends it when the host's hello has come.
grpc::Status end_of_a_silent_stream(const std::shared_ptr<grpc::Channel>& channel, bool cancelled = false) {
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  const auto stream = grpc::GenericStub(channel).PrepareCall(&context, kStreamMethod, &queue);
  grpc::ByteBuffer read;
  grpc::Status status;
  void* tag = nullptr;
  bool ok = true;
  stream->StartCall(&queue);
  queue.Next(&tag, &ok);
  do {
    stream->Read(&read, &queue);
    queue.Next(&tag, &ok);
    if (cancelled) context.TryCancel();
  } while (ok);
  stream->Finish(&status, &queue);
  queue.Next(&tag, &ok);
  return status;
}

void expect_only_strangers_cut_off(const std::string& address) {
  const auto started = GrpcTransport::start(
      Identity::generate(),
      {.listen = {address, 0}, .swarm_key = {}, .limits = {.proof_ns_max = kSecondNs / 2}});
  if (absl::IsUnavailable(started.status())) return;  // a machine without IPv6
  ASSERT_TRUE(started.ok()) << started.status();
  GrpcTransport& host = **started;
  std::shared_ptr<IncomingCall> served;
  std::atomic<bool> came{false}, done{false};
  host.serve(kEcho, [](std::shared_ptr<IncomingCall> call) { call->reply(absl::OkStatus()); });
  host.serve(kLong, [&](std::shared_ptr<IncomingCall> call) {
    served = std::move(call);
    came = true;
  });
  const auto member = make_peer();
  EXPECT_TRUE(await([&] { return ask(*member, host).status.ok(); }));
  member->call({.to = host.self(),
                .at = host.endpoint(),
                .method = kLong,
                .deadline_ns = RealClock().now_ns() + 60 * kSecondNs},
               {}, [&](Reply reply) {
                 EXPECT_TRUE(reply.status.ok()) << reply.status;
                 done = true;
               });
  EXPECT_TRUE(await([&] { return came.load() || done.load(); }));
  for (int strangers = 0; strangers < 2; ++strangers) {  // together longer than anyone stays without proof
    const auto stranger = dial_as_stranger(host);
    bool cut_off = false;
    for (int streams = 0; streams < 20 && !cut_off; ++streams) {
      cut_off = end_of_a_silent_stream(stranger).error_message() != kLate;
    }
    EXPECT_TRUE(cut_off);
  }
  if (served != nullptr) served->reply(absl::OkStatus());
  served.reset();
  EXPECT_TRUE(await([&] { return done.load(); }));
}

TEST(GrpcTransport, StreamAfterStreamHoldsNoConnection) {
  expect_only_strangers_cut_off("127.0.0.1");
  expect_only_strangers_cut_off("::1");
}

TEST(GrpcTransport, ASecondStreamIsNobodysAndItsConnectionGoes) {
  const auto host = make_peer({}, {.proof_ns_max = 60 * kSecondNs}), member = make_peer();
  EXPECT_TRUE(ask(*member, *host).status.ok());
  const auto stranger = dial_as_stranger(*host);
  EXPECT_EQ(end_of_a_silent_stream(stranger, /*cancelled=*/true).error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_NE(end_of_a_silent_stream(stranger).error_message(), kLate);
  EXPECT_EQ(host->counters().connections_refused, 1u);
  EXPECT_TRUE(ask(*member, *host).status.ok());
}

TEST(GrpcTransport, AHandshakeThatFailsMakesRoomAtOnce) {
  const auto host = make_peer({}, {.connections_unproven_max = 4}), friendly = make_peer();
  for (int i = 0; i < 20; ++i) {
    RawConnection connection(host->endpoint());
    std::vector<std::byte> bytes(105);
    bytes[0] = std::byte{22}, bytes[1] = std::byte{3}, bytes[2] = std::byte{1}, bytes[4] = std::byte{100};
    connection.send(bytes);
    EXPECT_TRUE(await([&] { return connection.closed(); }));
  }
  EXPECT_TRUE(ask(*friendly, *host).status.ok());
  EXPECT_EQ(host->counters().connections_refused, 0u) << "one was cut off to make room";
}

TEST(Acceptor, ReadsWhereAConnectionComesFrom) {
  EXPECT_EQ(endpoint_of_uri("ipv4:127.0.0.1:4700"), (Endpoint{"127.0.0.1", 4700}));
  EXPECT_EQ(endpoint_of_uri("ipv6:%5B::1%5D:4700"), (Endpoint{"::1", 4700}));
  EXPECT_EQ(endpoint_of_uri("ipv6:[::1]:4700"), (Endpoint{"::1", 4700}));
  EXPECT_EQ(endpoint_of_uri("ipv6:%5Bfe80::1%25eth0%5D:4700"), (Endpoint{"fe80::1", 4700}));
  EXPECT_TRUE(endpoint_of_uri("unix:/tmp/x").empty());
  EXPECT_TRUE(endpoint_of_uri("").empty());
}

TEST(GrpcTransport, APeerThatIsBackIsReachedAgain) {
  const auto a = make_peer();
  const Identity identity = Identity::generate();
  const auto start = [&](const Endpoint& at) {
    auto peer = GrpcTransport::start(identity, {.listen = at, .swarm_key = {}, .limits = {}});
    EXPECT_TRUE(peer.ok()) << peer.status();
    (*peer)->serve(
        kEcho, [](std::shared_ptr<IncomingCall> call) { call->reply(absl::OkStatus(), call->payload()); });
    return *std::move(peer);
  };
  auto b = start({"127.0.0.1", 0});
  const Endpoint at = b->endpoint();
  EXPECT_TRUE(ask(*a, *b).status.ok());
  b.reset();
  EXPECT_TRUE(await([&] { return a->counters().connections == 0; }));
  b = start(at);
  EXPECT_TRUE(await([&] { return ask(*a, *b).status.ok(); }));
}

TEST(GrpcTransport, ASmallCallDoesNotWaitForALargePayload) {
  constexpr size_t kLarge = size_t{64} << 20;
  const auto a = make_peer(), b = make_peer();
  ASSERT_TRUE(ask(*a, *b).status.ok());
  std::atomic<bool> large_done{false};
  a->call({.to = b->self(),
           .at = b->endpoint(),
           .method = kEcho,
           .priority = Priority::training,
           .deadline_ns = RealClock().now_ns() + 60 * kSecondNs},
          Payload::own(std::vector<std::byte>(kLarge)), [&](Reply reply) {
            EXPECT_TRUE(reply.status.ok()) << reply.status;
            EXPECT_EQ(reply.payload.size(), kLarge);
            large_done = true;
          });
  int before = 0;
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(ask(*a, *b, 10, Priority::interactive).status.ok());
    before += large_done ? 0 : 1;
  }
  EXPECT_EQ(before, 3);
  EXPECT_TRUE(await([&] { return large_done.load(); }));
}

TEST(GrpcTransport, BeyondItsLimitsCallsAreAnsweredSo) {
  TransportLimits limits;
  limits.queue_bytes_per_peer_max = 1 << 20;
  const auto sender = make_peer({}, limits), other = make_peer();
  EXPECT_TRUE(absl::IsResourceExhausted(ask(*sender, *other, (1 << 20) + 1).status));
  TransportLimits receiving;
  receiving.bytes_per_peer_max = 1 << 20;
  const auto receiver = make_peer({}, receiving);
  EXPECT_TRUE(absl::IsResourceExhausted(ask(*other, *receiver, (1 << 20) + 1).status));
  EXPECT_TRUE(ask(*other, *receiver, 1 << 20).status.ok());
  EXPECT_TRUE(absl::IsInvalidArgument(ask(*other, *receiver, kPayloadBytesMax + 1).status));
}

}  // namespace
}  // namespace agora::peers
