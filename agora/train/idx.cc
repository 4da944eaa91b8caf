#include "agora/train/idx.h"

#include <algorithm>

#include "agora/base/text.h"
#include "agora/train/gzip_file.h"

namespace agora::train {

using base::concat;
using base::listed;

namespace {

constexpr int64_t kRankMax = 8;
constexpr int64_t kHeaderBytesMax = 4 + 4 * kRankMax;
constexpr int64_t kValuesMax = int64_t{1} << 32;
constexpr uint32_t kUnsignedBytes = 0x08;

struct Header {
  std::vector<int64_t> shape;
  int64_t values = 1;  // product of shape
  int64_t bytes = 0;   // of the header itself
};

StatusOr<Header> parse_header(base::Bytes bytes, const std::string& file) {
  const auto bad = [&](const std::string& what) {
    return absl::InvalidArgumentError(concat(file, ": ", what));
  };
  base::ByteReader in(bytes);
  uint32_t magic = 0;
  if (!in.read_be(&magic) || magic >> 16 != 0) return bad("this is not an IDX file");
  const uint32_t type = (magic >> 8) & 0xff;
  const int64_t rank = magic & 0xff;
  if (type != kUnsignedBytes)
    return bad(concat("expected values of type 8 (unsigned bytes), it has type ", type));
  if (rank < 1 || rank > kRankMax)
    return bad(concat("expected 1 to ", kRankMax, " dimensions, it has ", rank));
  Header header;
  for (int64_t i = 0; i < rank; ++i) {
    uint32_t size = 0;
    if (!in.read_be(&size)) return absl::DataLossError(concat(file, ": cut short in its header"));
    header.shape.push_back(size);
    if (!base::multiply_sizes(header.values, size, &header.values))
      return bad("its dimensions are too large");
  }
  if (header.values > kValuesMax)
    return bad(concat("its dimensions ", listed(header.shape), " are too large"));
  header.bytes = 4 + 4 * rank;
  return header;
}

}  // namespace

StatusOr<IdxArray> parse_idx(base::Bytes bytes, const std::string& file) {
  AGORA_ASSIGN_OR_RETURN(Header header, parse_header(bytes, file));
  const base::Bytes values = bytes.subspan(static_cast<size_t>(header.bytes));
  if (static_cast<int64_t>(values.size()) != header.values) {
    return absl::DataLossError(concat(file, ": its dimensions ", listed(header.shape), " need ",
                                      header.values, " bytes, ", values.size(),
                                      " follow; the file is cut short or damaged"));
  }
  IdxArray array{std::move(header.shape), std::vector<uint8_t>(values.size())};
  std::transform(values.begin(), values.end(), array.values.begin(),
                 [](std::byte b) { return std::to_integer<uint8_t>(b); });
  return array;
}

StatusOr<IdxArray> read_idx(const std::string& path) {
  AGORA_ASSIGN_OR_RETURN(const FileStart start, read_start(path, kHeaderBytesMax));
  AGORA_ASSIGN_OR_RETURN(const Header header, parse_header(base::as_bytes(start.bytes), path));
  AGORA_ASSIGN_OR_RETURN(const FileStart whole, read_start(path, header.bytes + header.values));
  if (whole.more) {
    return absl::InvalidArgumentError(concat(path, ": more bytes than its dimensions ", listed(header.shape),
                                             " need; the file is damaged"));
  }
  return parse_idx(base::as_bytes(whole.bytes), path);
}

}  // namespace agora::train
