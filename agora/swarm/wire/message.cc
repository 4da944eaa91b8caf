#include "agora/swarm/wire/message.h"

#include "absl/strings/str_cat.h"

namespace agora::swarm {

Status read_version(base::ByteReader& in, std::string_view message, uint8_t expected) {
  uint8_t version;
  if (!in.read_le(&version)) return malformed(message, "it is empty");
  if (version == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(std::string(message), ": expected version ", expected,
                                                 " of the wire, got ", version,
                                                 "; use releases of agora that agree"));
}

Status malformed(std::string_view message, std::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat(std::string(message), ": ", std::string(problem)));
}

Status too_short(std::string_view message) { return malformed(message, "it ends within its head"); }

Status skip_padding(base::ByteReader& in, base::Bytes whole, std::string_view message) {
  const size_t at = whole.size() - in.remaining();
  return in.skip(padded(at, kRowsAlignment) - at) ? absl::OkStatus() : too_short(message);
}

Status ends_here(const base::ByteReader& in, std::string_view message) {
  if (in.remaining() == 0) return absl::OkStatus();
  return malformed(message, absl::StrCat(in.remaining(), " bytes follow its end"));
}

}  // namespace agora::swarm
