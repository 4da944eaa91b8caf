#include "agora/peers/transport/hello.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "agora/base/append_bytes.h"
#include "agora/base/text.h"

namespace agora::peers {
namespace {

constexpr std::string_view kMagic = "agora";
constexpr uint16_t kVersion = 2;

}  // namespace

Payload encode_hello(const Hello& hello) {
  std::vector<std::byte> bytes;
  base::append_bytes(base::as_bytes(kMagic), bytes);
  base::append_le(kVersion, bytes);
  base::append_le(hello.incarnation, bytes);
  base::append_le(hello.dial, bytes);
  base::append_bytes(hello.nonce, bytes);
  base::append_le<uint8_t>(hello.keyed ? 1 : 0, bytes);
  return Payload::own(std::move(bytes));
}

StatusOr<Hello> parse_hello(base::Bytes bytes) {
  base::ByteReader in(bytes);
  base::Bytes magic, nonce;
  uint16_t version = 0;
  Hello hello;
  if (!in.take(kMagic.size(), &magic) || base::as_text(magic) != kMagic || !in.read_le(&version)) {
    return absl::InvalidArgumentError("expected the hello of an agora peer");
  }
  if (version != kVersion) {
    return absl::FailedPreconditionError(base::concat("the peer speaks version ", version, ", this one ",
                                                      kVersion, "; bring the older one up to date"));
  }
  uint8_t keyed = 0;
  const bool read = in.read_le(&hello.incarnation) && in.read_le(&hello.dial) &&
                    in.take(hello.nonce.size(), &nonce) && in.read_le(&keyed) && in.remaining() == 0;
  if (!read || keyed > 1) return absl::InvalidArgumentError("expected the hello of an agora peer");
  std::ranges::copy(nonce, hello.nonce.begin());
  hello.keyed = keyed == 1;
  return hello;
}

}  // namespace agora::peers
