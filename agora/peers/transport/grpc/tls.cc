#include "agora/peers/transport/grpc/tls.h"

#include <utility>
#include <vector>

#include "agora/base/text.h"
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

namespace agora::peers {
namespace {

using grpc::experimental::ExternalCertificateVerifier;
using grpc::experimental::TlsCustomVerificationCheckRequest;
using Check = std::function<Status(std::string_view certificate_pem)>;

// TLS has proved by then that the other side has the certificate's private key.
class KeyVerifier final : public ExternalCertificateVerifier {
 public:
  explicit KeyVerifier(Check check) : check_(std::move(check)) {}

  bool Verify(TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* sync_status) override {
    const grpc::string_ref pem = request->peer_cert();
    const Status checked = check_({pem.data(), pem.size()});
    *sync_status = checked.ok()
                       ? grpc::Status::OK
                       : grpc::Status(grpc::StatusCode::UNAUTHENTICATED, std::string(checked.message()));
    return true;  // at once
  }
  void Cancel(TlsCustomVerificationCheckRequest*) override {}

 private:
  const Check check_;
};

// Runs where gRPC reads, before the call of a stream is handed to anybody.
class OneStream final : public grpc::AuthMetadataProcessor {
 public:
  explicit OneStream(std::function<void(const PeerId&)> second) : second_(std::move(second)) {}

  bool IsBlocking() const override { return false; }
  // What is added to the context is seen by the connection's later streams.
  grpc::Status Process(const InputMetadata&, grpc::AuthContext* context, OutputMetadata*,
                       OutputMetadata*) override {
    if (context->FindPropertyValues(kStreamed).empty()) {
      context->AddProperty(kStreamed, "");
      return grpc::Status::OK;
    }
    second_(peer_of_context(*context));
    return {grpc::StatusCode::RESOURCE_EXHAUSTED, "a connection carries one stream here"};
  }

 private:
  static constexpr const char* kStreamed = "agora_streamed";
  const std::function<void(const PeerId&)> second_;
};

template <class Options>
Options options_of(const Identity& identity, Check check) {
  using grpc::experimental::IdentityKeyCertPair;
  using grpc::experimental::StaticDataCertificateProvider;
  const std::vector<IdentityKeyCertPair> pairs = {{identity.private_key_pem(), identity.certificate_pem()}};
  const auto provider = std::make_shared<StaticDataCertificateProvider>("", pairs);
  Options options = [&] {
    if constexpr (std::is_constructible_v<Options, decltype(provider)>) {
      return Options(provider);
    } else {
      Options made;
      made.set_certificate_provider(provider);
      return made;
    }
  }();
  options.watch_identity_key_cert_pairs();
  options.set_certificate_verifier(ExternalCertificateVerifier::Create<KeyVerifier>(std::move(check)));
  options.set_check_call_host(false);
  return options;
}

}  // namespace

Status Pin::check(std::string_view certificate_pem) {
  const PeerId peer = peer_of_certificate(certificate_pem);
  base::MutexLock lock(mutex_);
  if (peer.empty()) {
    mismatch_ = absl::PermissionDeniedError("who answered has no Ed25519 key: not an agora peer");
  } else if (!expected_.empty() && peer != expected_) {
    mismatch_ = absl::PermissionDeniedError(
        base::concat("expected peer ", expected_.brief(), ", but ", peer.brief(), " answered"));
  } else {
    mismatch_ = absl::OkStatus();
    expected_ = seen_ = peer;
  }
  return mismatch_;
}

PeerId Pin::seen() const {
  base::MutexLock lock(mutex_);
  return seen_;
}

Status Pin::mismatch() const {
  base::MutexLock lock(mutex_);
  return mismatch_;
}

std::shared_ptr<grpc::ChannelCredentials> client_credentials(const Identity& identity,
                                                             std::shared_ptr<Pin> pin) {
  auto options = options_of<grpc::experimental::TlsChannelCredentialsOptions>(
      identity, [pin = std::move(pin)](std::string_view pem) { return pin->check(pem); });
  options.set_verify_server_certs(false);  // no chain to an authority: the key is what is checked
  return grpc::experimental::TlsCredentials(options);
}

std::shared_ptr<grpc::ServerCredentials> server_credentials(const Identity& identity,
                                                            std::function<void()> refused,
                                                            std::function<void(const PeerId&)> second) {
  auto options = options_of<grpc::experimental::TlsServerCredentialsOptions>(
      identity, [refused = std::move(refused)](std::string_view pem) {
        if (!peer_of_certificate(pem).empty()) return absl::OkStatus();
        refused();
        return absl::PermissionDeniedError("expected an Ed25519 key");
      });
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
  auto credentials = grpc::experimental::TlsServerCredentials(options);
  credentials->SetAuthMetadataProcessor(std::make_shared<OneStream>(std::move(second)));
  return credentials;
}

PeerId peer_of_certificate(std::string_view certificate_pem) {
  const StatusOr<PublicKey> key = public_key_of_certificate(certificate_pem);
  return key.ok() ? peer_id_of(*key) : PeerId{};
}

PeerId peer_of_context(const grpc::AuthContext& context) {
  const std::vector<grpc::string_ref> pems = context.FindPropertyValues("x509_pem_cert");
  return pems.size() == 1 ? peer_of_certificate({pems[0].data(), pems[0].size()}) : PeerId{};
}

}  // namespace agora::peers
