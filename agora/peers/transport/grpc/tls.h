// TLS with the peers' own keys: both sides show a certificate that they signed themselves, and what counts is
// its Ed25519 key. There is no authority, no name and no date in it that anybody looks at.
//
//   auto server = server_credentials(identity, refused, second);
//   auto pin = std::make_shared<Pin>(expected);   auto client = client_credentials(identity, pin);
//
// Any thread.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "agora/base/mutex.h"
#include "agora/base/result.h"
#include "agora/peers/identity/identity.h"
#include <grpcpp/security/auth_context.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

namespace agora::peers {

// Who is to be, and who was, at the other end of a connection that we dial.
class Pin {
 public:
  explicit Pin(const PeerId& expected) : expected_(expected) {}

  // PermissionDenied: somebody else. Without expectation the first who comes is the expected one from then
  // on.
  Status check(std::string_view certificate_pem);
  PeerId seen() const;      // empty: nobody yet
  Status mismatch() const;  // the last one's

 private:
  mutable base::Mutex mutex_;
  PeerId expected_ ABSL_GUARDED_BY(mutex_);
  PeerId seen_ ABSL_GUARDED_BY(mutex_);
  Status mismatch_ ABSL_GUARDED_BY(mutex_);
};

std::shared_ptr<grpc::ChannelCredentials> client_credentials(const Identity& identity,
                                                             std::shared_ptr<Pin> pin);

// refused: told of each client without an Ed25519 key. second: of each that begins a further stream on a
// connection, which nobody hears of otherwise; where gRPC reads, so that it can stop the reading.
std::shared_ptr<grpc::ServerCredentials> server_credentials(const Identity& identity,
                                                            std::function<void()> refused,
                                                            std::function<void(const PeerId&)> second);

// Empty: not a certificate with an Ed25519 key.
PeerId peer_of_certificate(std::string_view certificate_pem);
PeerId peer_of_context(const grpc::AuthContext& context);

}  // namespace agora::peers
