#include "agora/train/trainer_file.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "agora/train/run_folder.h"
#include "agora/weights/atomic_file.h"

namespace agora::train {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they lie in memory");

constexpr std::string_view kOpening = "agora trainer 2\n";

// Blocks, each behind its length, and the hash of everything at the end.
class HashedFile {
 public:
  explicit HashedFile(weights::AtomicFile& file) : file_(file) {}
  Status add_number(uint64_t number) { return append(std::as_bytes(std::span(&number, 1))); }
  Status add(base::Bytes block) {
    AGORA_RETURN_IF_ERROR(add_number(block.size()));
    return append(block);
  }
  Status commit() {
    const weights::Digest hash = hash_.finish();
    AGORA_RETURN_IF_ERROR(file_.append(std::as_bytes(std::span(hash))));
    return file_.commit();
  }

 private:
  Status append(base::Bytes bytes) {
    hash_.update(bytes);
    return file_.append(bytes);
  }

  weights::AtomicFile& file_;
  weights::Sha256 hash_;
};

bool read_block(base::ByteReader& in, base::Bytes* block) {
  uint64_t length = 0;
  return in.read_le(&length) && in.take(length, block);
}

bool read_numbers(base::ByteReader& in, std::vector<float>* numbers) {
  base::Bytes block;
  if (!read_block(in, &block) || block.size() % sizeof(float) != 0) return false;
  numbers->resize(block.size() / sizeof(float));
  std::memcpy(numbers->data(), block.data(), block.size());
  return true;
}

// Without its hash. DataLoss: torn or altered.
StatusOr<base::Bytes> verified(base::Bytes all, const std::string& path) {
  const size_t length = all.size() - std::min(all.size(), sizeof(weights::Digest));
  const weights::Digest hash = weights::sha256(all.first(length));
  if (std::ranges::equal(std::as_bytes(std::span(hash)), all.subspan(length))) return all.first(length);
  return absl::DataLossError(absl::StrCat(path, ": the kept trainer is torn or altered; remove the file"));
}

}  // namespace

Status write_trainer_file(const std::string& path, const KeptTrainer& kept) {
  const peers::Payload trunk = encode(kept.base);
  AGORA_ASSIGN_OR_RETURN(const auto atomic, weights::AtomicFile::create(path));
  HashedFile file(*atomic);
  AGORA_RETURN_IF_ERROR(file.add(base::as_bytes(kOpening)));
  AGORA_RETURN_IF_ERROR(file.add(base::as_bytes(format_run_state(kept.state))));
  AGORA_RETURN_IF_ERROR(file.add(trunk.bytes()));
  AGORA_RETURN_IF_ERROR(file.add_number(kept.rows));
  AGORA_RETURN_IF_ERROR(file.add_number(kept.steps));
  for (const std::vector<float>* numbers : {&kept.values, &kept.first, &kept.second}) {
    AGORA_RETURN_IF_ERROR(file.add(std::as_bytes(std::span(*numbers))));
  }
  return file.commit();
}

StatusOr<KeptTrainer> read_trainer_file(const std::string& path) {
  if (!weights::file_exists(path)) return absl::NotFoundError(absl::StrCat(path, ": no trainer is kept"));
  AGORA_ASSIGN_OR_RETURN(const auto file, weights::MappedFile::open(path));
  AGORA_ASSIGN_OR_RETURN(const base::Bytes bytes, verified(file->bytes(), path));
  base::ByteReader in(bytes);
  KeptTrainer kept;
  base::Bytes opening, state, trunk;
  if (!read_block(in, &opening) || base::as_text(opening) != kOpening || !read_block(in, &state) ||
      !read_block(in, &trunk) || !in.read_le(&kept.rows) || !in.read_le(&kept.steps) ||
      !read_numbers(in, &kept.values) || !read_numbers(in, &kept.first) || !read_numbers(in, &kept.second) ||
      in.remaining() > 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": expected a trainer that this program kept, found another version's; remove the file"));
  }
  AGORA_ASSIGN_OR_RETURN(kept.state, parse_run_state(std::string(base::as_text(state)), path));
  AGORA_ASSIGN_OR_RETURN(kept.base, swarm::read_trunk(trunk));
  return kept;
}

}  // namespace agora::train
