// A peer's key pair, made on first start; what it signs, only it can have signed.
//
//   AGORA_ASSIGN_OR_RETURN(Identity me, Identity::load_or_create("state/peer.key"));   // mode 0600
//   Signature s = me.sign(bytes);   verify(me.public_key(), bytes, s);
//
// Ed25519 (RFC 8032) by OpenSSL, but for verify(), which libsodium does in half the time. The file is PEM
// (PKCS #8). Any thread.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "agora/base/bytes.h"
#include "agora/base/result.h"
#include "agora/peers/identity/signer.h"
#include "agora/peers/peer_id.h"

namespace agora::peers {

class Identity final : public Signer {
 public:
  // PermissionDenied: others may read the file; InvalidArgument: not such a key; names the file and the way
  // out.
  static StatusOr<Identity> load_or_create(const std::string& path);
  static Identity generate();                // never written
  static Identity from_seed(uint64_t seed);  // tests and the simulator only: anybody can make it

  const PublicKey& public_key() const override { return public_key_; }
  const PeerId& id() const { return id_; }
  Signature sign(base::Bytes bytes) const override;

  // For TLS: the key and a certificate signed by itself that holds nothing but the key. PEM. Made by the
  // first call (1 ms): every connection asks for them.
  const std::string& private_key_pem() const;
  const std::string& certificate_pem() const;
  std::array<std::byte, 32> seed() const;  // the private key as RFC 8032 has it: for the DHT's own signatures

 private:
  struct Key;
  explicit Identity(std::shared_ptr<const Key> key);
  std::shared_ptr<const Key> key_;  // immutable; copies share it
  PublicKey public_key_;
  PeerId id_;
};

bool verify(const PublicKey& key, base::Bytes bytes, const Signature& signature);

// InvalidArgument: not a certificate, or its key is not Ed25519. Says nothing of who signed it.
StatusOr<PublicKey> public_key_of_certificate(std::string_view pem);

}  // namespace agora::peers
