#include "agora/swarm/trunk_file.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "agora/weights/atomic_file.h"

namespace agora::swarm {

Status write_trunk_file(const std::string& path, const TrunkSnapshot& snapshot) {
  const peers::Payload bytes = encode(snapshot);
  const weights::Digest hash = weights::sha256(bytes.bytes());
  AGORA_ASSIGN_OR_RETURN(const auto file, weights::AtomicFile::create(path));
  AGORA_RETURN_IF_ERROR(file->append(bytes.bytes()));
  AGORA_RETURN_IF_ERROR(file->append(std::as_bytes(std::span(hash))));
  return file->commit();
}

StatusOr<TrunkSnapshot> read_trunk_file(const std::string& path) {
  if (!weights::file_exists(path)) return absl::NotFoundError(absl::StrCat(path, ": no trunk is kept there"));
  AGORA_ASSIGN_OR_RETURN(const auto file, weights::MappedFile::open(path));
  const base::Bytes all = file->bytes();
  const size_t length = all.size() - std::min(all.size(), sizeof(weights::Digest));
  const weights::Digest hash = weights::sha256(all.first(length));
  if (!std::ranges::equal(std::as_bytes(std::span(hash)), all.subspan(length))) {
    return absl::DataLossError(absl::StrCat(path, ": the trunk is torn or altered; remove the file"));
  }
  return read_trunk(all.first(length));
}

}  // namespace agora::swarm
