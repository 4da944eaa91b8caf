#include "agora/peers/peer_id.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include <openssl/sha.h>

namespace agora::peers {
namespace {

std::string hex(const std::array<std::byte, 32>& bytes) {
  return absl::BytesToHexString({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace

std::string PeerId::text() const { return hex(bytes); }
std::string PeerId::brief() const { return text().substr(0, 8); }
std::string SwarmId::text() const { return hex(bytes); }

PeerId peer_id_of(const PublicKey& key) {
  PeerId id;
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(),
         reinterpret_cast<unsigned char*>(id.bytes.data()));
  return id;
}

StatusOr<PeerId> parse_peer_id(std::string_view text) {
  PeerId id;
  bool digits = text.size() == 2 * id.bytes.size();
  for (const char c : text) digits = digits && std::isxdigit(static_cast<unsigned char>(c)) != 0;
  if (!digits) {
    return absl::InvalidArgumentError(
        absl::StrCat("a peer id is 64 hexadecimal digits, not \"", std::string(text.substr(0, 80)), "\""));
  }
  const std::string raw = absl::HexStringToBytes(std::string(text));
  std::memcpy(id.bytes.data(), raw.data(), raw.size());
  return id;
}

}  // namespace agora::peers
