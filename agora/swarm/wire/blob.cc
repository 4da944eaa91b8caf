#include "agora/swarm/wire/blob.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "agora/swarm/wire/message.h"

namespace agora::swarm {
namespace {

constexpr std::string_view kRequest = "blob request";
constexpr std::string_view kChunk = "blob chunk";

// One blob on its way here; owned by the call that is under way.
class Fetch : public std::enable_shared_from_this<Fetch> {
 public:
  Fetch(peers::Transport& transport, const Clock& clock, const peers::CallSettings& settings, std::string key,
        uint64_t bytes_max, std::function<void(StatusOr<peers::Payload>)> done)
      : transport_(transport),
        clock_(clock),
        settings_(settings),
        key_(std::move(key)),
        bytes_max_(bytes_max),
        done_(std::move(done)) {}

  void ask() {
    peers::CallSettings settings = settings_;
    settings.deadline_ns = std::min(settings.deadline_ns, clock_.now_ns() + kBlobChunkNsMax);
    transport_.call(settings, encode(BlobRequest{.key = key_, .offset = bytes_.size()}),
                    [self = shared_from_this()](peers::Reply reply) { self->take(std::move(reply)); });
  }

 private:
  void take(peers::Reply reply) {
    Status status = reply.status.ok() ? append(reply.payload.bytes()) : reply.status;
    if (status.ok() && bytes_.size() < total_) return ask();
    if (status.ok() && weights::sha256(bytes_) != hash_) {
      status = absl::DataLossError(absl::StrFormat(
          "peer %s: the %d bytes that came are not those of the hash that it named; ask another",
          reply.from.brief(), total_));
    }
    if (!status.ok()) return done_(std::move(status));
    done_(peers::Payload::own(std::move(bytes_)));
  }

  Status append(base::Bytes message) {
    AGORA_ASSIGN_OR_RETURN(const BlobChunk chunk, read_blob_chunk(message));
    if (bytes_.empty()) {
      total_ = chunk.total;
      hash_ = chunk.hash;
      if (total_ > bytes_max_) {
        return absl::InvalidArgumentError(
            absl::StrFormat("a blob of %d bytes was offered; at most %d are taken", total_, bytes_max_));
      }
    }
    if (chunk.total != total_ || chunk.hash != hash_) {
      return absl::UnavailableError("the blob changed while it was fetched; fetch it again");
    }
    if (chunk.bytes.size() > total_ - bytes_.size() || (chunk.bytes.empty() && bytes_.size() < total_)) {
      return malformed(kChunk, "its length does not fit the whole");
    }
    bytes_.insert(bytes_.end(), chunk.bytes.begin(), chunk.bytes.end());
    return absl::OkStatus();
  }

  peers::Transport& transport_;
  const Clock& clock_;
  const peers::CallSettings settings_;
  const std::string key_;
  const uint64_t bytes_max_;
  const std::function<void(StatusOr<peers::Payload>)> done_;
  uint64_t total_ = 0;
  weights::Digest hash_{};
  std::vector<std::byte> bytes_;
};

}  // namespace

Blob blob_of(peers::Payload bytes) {
  const weights::Digest hash = weights::sha256(bytes.bytes());
  return {std::move(bytes), hash};
}

peers::Payload encode(const BlobRequest& request) {
  MessageWriter out(1 + 8 + 4 + 2 + request.key.size());
  out.put(kWireVersion);
  out.put(request.offset);
  out.put(request.bytes_max);
  out.put(static_cast<uint16_t>(request.key.size()));
  out.put_bytes(base::as_bytes(request.key));
  return std::move(out).done();
}

StatusOr<BlobRequest> read_blob_request(base::Bytes bytes) {
  base::ByteReader in(bytes);
  AGORA_RETURN_IF_ERROR(read_version(in, kRequest));
  BlobRequest request;
  uint16_t length;
  base::Bytes key;
  if (!in.read_le(&request.offset) || !in.read_le(&request.bytes_max) || !in.read_le(&length)) {
    return too_short(kRequest);
  }
  if (length > kBlobKeyBytesMax || !in.take(length, &key)) return malformed(kRequest, "its key does not fit");
  AGORA_RETURN_IF_ERROR(ends_here(in, kRequest));
  request.key = std::string(base::as_text(key));
  return request;
}

peers::Payload encode(const BlobChunk& chunk) {
  MessageWriter out(1 + 8 + chunk.hash.size() + chunk.bytes.size());
  out.put(kWireVersion);
  out.put(chunk.total);
  out.put_bytes(std::as_bytes(std::span(chunk.hash)));
  out.put_bytes(chunk.bytes);
  return std::move(out).done();
}

StatusOr<BlobChunk> read_blob_chunk(base::Bytes bytes) {
  base::ByteReader in(bytes);
  AGORA_RETURN_IF_ERROR(read_version(in, kChunk));
  BlobChunk chunk;
  base::Bytes hash;
  if (!in.read_le(&chunk.total) || !in.take(chunk.hash.size(), &hash)) return too_short(kChunk);
  std::transform(hash.begin(), hash.end(), chunk.hash.begin(),
                 [](std::byte b) { return std::to_integer<uint8_t>(b); });
  chunk.bytes = in.rest();
  return chunk;
}

void serve_blob(peers::IncomingCall& call, const BlobSource& source) {
  const StatusOr<BlobRequest> request = read_blob_request(call.payload().bytes());
  if (!request.ok()) return call.reply(request.status());
  const StatusOr<Blob> blob = source(request->key);
  if (!blob.ok()) return call.reply(blob.status());
  const base::Bytes whole = blob->bytes.bytes();
  if (request->offset > whole.size()) {
    return call.reply(absl::OutOfRangeError(
        absl::StrFormat("offset %d is beyond the blob's %d bytes", request->offset, whole.size())));
  }
  const uint64_t left = whole.size() - request->offset;
  const uint64_t count = std::min<uint64_t>({left, request->bytes_max, kBlobChunkBytes});
  call.reply(absl::OkStatus(),
             encode(BlobChunk{whole.size(), blob->hash, whole.subspan(request->offset, count)}));
}

void fetch_blob(peers::Transport& transport, const Clock& clock, const peers::CallSettings& settings,
                std::string key, uint64_t bytes_max, std::function<void(StatusOr<peers::Payload>)> done) {
  AGORA_CHECK_LE(key.size(), kBlobKeyBytesMax);
  std::make_shared<Fetch>(transport, clock, settings, std::move(key), bytes_max, std::move(done))->ask();
}

}  // namespace agora::swarm
