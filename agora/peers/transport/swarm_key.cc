#include "agora/peers/transport/swarm_key.h"

#include <cctype>
#include <cstring>
#include <string_view>

#include "absl/strings/escaping.h"
#include "agora/base/bytes.h"
#include "agora/base/check.h"
#include "agora/base/text.h"
#include "agora/peers/identity/private_file.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

namespace agora::peers {
namespace {

constexpr std::string_view kPurpose = "agora swarm proof 1";  // keys a proof to this protocol and no other

}  // namespace

Nonce random_nonce() {
  Nonce nonce;
  AGORA_CHECK_EQ(RAND_bytes(reinterpret_cast<unsigned char*>(nonce.data()), static_cast<int>(nonce.size())),
                 1);
  return nonce;
}

StatusOr<SwarmKey> load_swarm_key(const std::string& path) {
  AGORA_ASSIGN_OR_RETURN(std::string text, read_private_file(path));
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) text.pop_back();
  SwarmKey key;
  bool digits = text.size() == 2 * key.size();
  for (const char c : text) digits = digits && std::isxdigit(static_cast<unsigned char>(c)) != 0;
  if (!digits) {
    return absl::InvalidArgumentError(base::concat(
        path, ": expected a swarm key of 64 hexadecimal digits; copy the file from a peer of the swarm"));
  }
  const std::string raw = absl::HexStringToBytes(text);
  std::memcpy(key.data(), raw.data(), key.size());
  return key;
}

Proof swarm_proof(const SwarmKey& key, const ProofSubject& subject) {
  std::string said(kPurpose);
  for (const auto* bytes :
       {&subject.prover.bytes, &subject.verifier.bytes, &subject.prover_nonce, &subject.verifier_nonce}) {
    said += base::as_text(*bytes);
  }
  Proof proof;
  const unsigned char* done = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                                   reinterpret_cast<const unsigned char*>(said.data()), said.size(),
                                   reinterpret_cast<unsigned char*>(proof.data()), nullptr);
  AGORA_CHECK(done != nullptr);
  return proof;
}

bool same_proof(const Proof& a, const Proof& b) { return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0; }

}  // namespace agora::peers
