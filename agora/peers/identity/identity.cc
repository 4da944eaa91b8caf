#include "agora/peers/identity/identity.h"

#include <cstring>
#include <mutex>
#include <utility>

#include "agora/base/check.h"
#include "agora/base/text.h"
#include "agora/peers/identity/private_file.h"
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sodium/crypto_sign_ed25519.h>

namespace agora::peers {
namespace {

template <auto free_function>
struct Free {
  template <class T>
  void operator()(T* thing) const {
    free_function(thing);
  }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using ContextPtr = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;
using CertificatePtr = std::unique_ptr<X509, Free<X509_free>>;
using BioPtr = std::unique_ptr<BIO, Free<BIO_free_all>>;

const unsigned char* raw(base::Bytes bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }

KeyPtr key_of_seed(const std::array<std::byte, 32>& seed) {
  return KeyPtr(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, raw(seed), seed.size()));
}

PublicKey public_key_of(const EVP_PKEY* key) {
  PublicKey bytes;
  size_t size = bytes.size();
  AGORA_CHECK_EQ(EVP_PKEY_get_raw_public_key(key, reinterpret_cast<unsigned char*>(bytes.data()), &size), 1);
  AGORA_CHECK_EQ(size, bytes.size());
  return bytes;
}

template <class Write>
std::string pem_of(const Write& write) {
  const BioPtr out(BIO_new(BIO_s_mem()));
  AGORA_CHECK(out != nullptr && write(out.get()) == 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<size_t>(size)};
}

// Both dates are fixed, far apart and meaningless: who holds the key is asked, never since when. A peer whose
// clock is wrong is as welcome as any other.
CertificatePtr self_signed(EVP_PKEY* key) {
  CertificatePtr certificate(X509_new());
  X509* x = certificate.get();
  AGORA_CHECK(x != nullptr);
  bool ok = X509_set_version(x, 2) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1;
  ok = ok && ASN1_TIME_set_string_X509(X509_getm_notBefore(x), "20000101000000Z") == 1;
  ok = ok && ASN1_TIME_set_string_X509(X509_getm_notAfter(x), "99991231235959Z") == 1;
  X509_NAME* name = X509_get_subject_name(x);
  ok = ok && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                        reinterpret_cast<const unsigned char*>("agora"), -1, -1, 0) == 1;
  ok = ok && X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1;
  AGORA_CHECK(ok && X509_sign(x, key, nullptr) > 0);
  return certificate;
}

}  // namespace

struct Identity::Key {
  explicit Key(KeyPtr its_key) : key(std::move(its_key)) {}
  const KeyPtr key;
  mutable std::once_flag pem_made;
  mutable std::string key_pem, certificate_pem;

  void make_pem() const;
};

void Identity::Key::make_pem() const {
  std::call_once(pem_made, [this] {
    key_pem = pem_of([this](BIO* out) {
      return PEM_write_bio_PKCS8PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
    const CertificatePtr certificate = self_signed(key.get());
    certificate_pem = pem_of([&](BIO* out) { return PEM_write_bio_X509(out, certificate.get()); });
  });
}

Identity::Identity(std::shared_ptr<const Key> key)
    : key_(std::move(key)), public_key_(public_key_of(key_->key.get())), id_(peer_id_of(public_key_)) {}

Identity Identity::generate() {
  KeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  AGORA_CHECK(key != nullptr);
  return Identity(std::make_shared<const Key>(std::move(key)));
}

Identity Identity::from_seed(uint64_t seed) {
  std::array<std::byte, 32> bytes{};
  base::store_le(seed, bytes.data());
  KeyPtr key = key_of_seed(bytes);
  AGORA_CHECK(key != nullptr);
  return Identity(std::make_shared<const Key>(std::move(key)));
}

StatusOr<Identity> Identity::load_or_create(const std::string& path) {
  StatusOr<std::string> pem = read_private_file(path);
  if (absl::IsNotFound(pem.status())) {
    Identity made = generate();
    const Status written = write_private_file(path, made.private_key_pem());
    if (written.ok()) return made;
    if (!absl::IsAlreadyExists(written)) return written;
    pem = read_private_file(path);  // another process was faster
  }
  if (!pem.ok()) return pem.status();
  const BioPtr in(BIO_new_mem_buf(pem->data(), static_cast<int>(pem->size())));
  const auto no_password = [](char*, int, int, void*) { return 0; };
  KeyPtr key(PEM_read_bio_PrivateKey(in.get(), nullptr, no_password, nullptr));
  if (key == nullptr || EVP_PKEY_get_id(key.get()) != EVP_PKEY_ED25519) {
    return absl::InvalidArgumentError(base::concat(
        path,
        ": expected an Ed25519 private key in PEM; move the file away and a new key, a new peer, is made"));
  }
  return Identity(std::make_shared<const Key>(std::move(key)));
}

Signature Identity::sign(base::Bytes bytes) const {
  Signature signature;
  size_t size = signature.size();
  const ContextPtr context(EVP_MD_CTX_new());
  AGORA_CHECK(context != nullptr);
  AGORA_CHECK_EQ(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_->key.get()), 1);
  AGORA_CHECK_EQ(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                                raw(bytes), bytes.size()),
                 1);
  return signature;
}

const std::string& Identity::private_key_pem() const {
  key_->make_pem();
  return key_->key_pem;
}

const std::string& Identity::certificate_pem() const {
  key_->make_pem();
  return key_->certificate_pem;
}

std::array<std::byte, 32> Identity::seed() const {
  std::array<std::byte, 32> bytes;
  size_t size = bytes.size();
  AGORA_CHECK_EQ(
      EVP_PKEY_get_raw_private_key(key_->key.get(), reinterpret_cast<unsigned char*>(bytes.data()), &size),
      1);
  return bytes;
}

bool verify(const PublicKey& key, base::Bytes bytes, const Signature& signature) {
  return crypto_sign_ed25519_verify_detached(raw(signature), raw(bytes), bytes.size(), raw(key)) == 0;
}

StatusOr<PublicKey> public_key_of_certificate(std::string_view pem) {
  const BioPtr in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const CertificatePtr certificate(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
  const EVP_PKEY* key = certificate == nullptr ? nullptr : X509_get0_pubkey(certificate.get());
  if (key == nullptr || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519) {
    return absl::InvalidArgumentError("expected a certificate with an Ed25519 key");
  }
  return public_key_of(key);
}

}  // namespace agora::peers
