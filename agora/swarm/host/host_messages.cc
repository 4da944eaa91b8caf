#include "agora/swarm/host/host_messages.h"

#include <cmath>

#include "agora/swarm/wire/message.h"

namespace agora::swarm {
namespace {

constexpr size_t kNameBytes = 8;
constexpr size_t kHeadBytes = kNameBytes + 1 + 4 + 8;

void put_name(MessageWriter& out, ExpertName name) {
  out.put(static_cast<uint32_t>(name.layer.value));
  out.put(static_cast<uint32_t>(name.expert.value));
}

bool read_name(base::ByteReader& in, ExpertName* name) {
  uint32_t layer, expert;
  if (!in.read_le(&layer) || !in.read_le(&expert) || layer > INT32_MAX || expert > INT32_MAX) return false;
  *name = {LayerId{layer}, ExpertId{expert}};
  return true;
}

// How many things of `size` bytes follow: all that is left, and no more than `most`.
Status read_count(base::ByteReader& in, size_t size, size_t most, std::string_view message, uint32_t* count) {
  if (!in.read_le(count)) return too_short(message);
  if (*count > most || in.remaining() != *count * size) return malformed(message, "its count does not fit");
  return absl::OkStatus();
}

}  // namespace

peers::Payload encode_heads(std::span<const ReplicaHead> heads) {
  heads = heads.first(std::min(heads.size(), kHeadsMax));
  MessageWriter out(1 + 4 + heads.size() * kHeadBytes);
  out.put(kWireVersion);
  out.put(static_cast<uint32_t>(heads.size()));
  for (const ReplicaHead& head : heads) {
    put_name(out, head.name);
    out.put(static_cast<uint8_t>(head.leads ? 1 : 0));
    out.put(head.epoch);
    out.put(head.version);
  }
  return std::move(out).done();
}

StatusOr<std::vector<ReplicaHead>> read_heads(base::Bytes bytes) {
  constexpr std::string_view kMessage = "heads";
  base::ByteReader in(bytes);
  AGORA_RETURN_IF_ERROR(read_version(in, kMessage));
  uint32_t count;
  AGORA_RETURN_IF_ERROR(read_count(in, kHeadBytes, kHeadsMax, kMessage, &count));
  std::vector<ReplicaHead> heads(count);
  for (ReplicaHead& head : heads) {
    uint8_t leads = 0;
    if (!read_name(in, &head.name) || !in.read_le(&leads) || !in.read_le(&head.epoch) ||
        !in.read_le(&head.version) || leads > 1) {
      return malformed(kMessage, "a head is none");
    }
    head.leads = leads == 1;
  }
  return heads;
}

peers::Payload encode_expert(ExpertName name) {
  MessageWriter out(1 + kNameBytes);
  out.put(kWireVersion);
  put_name(out, name);
  return std::move(out).done();
}

StatusOr<ExpertName> read_expert(base::Bytes bytes) {
  constexpr std::string_view kMessage = "expert";
  base::ByteReader in(bytes);
  AGORA_RETURN_IF_ERROR(read_version(in, kMessage));
  ExpertName name;
  if (!read_name(in, &name)) return malformed(kMessage, "it names none");
  AGORA_RETURN_IF_ERROR(ends_here(in, kMessage));
  return name;
}

peers::Payload encode(const AddExpert& request) {
  MessageWriter out(1 + 4 + 1 + 4 + 4);
  out.put(kWireVersion);
  out.put(static_cast<uint32_t>(request.layer));
  out.put(static_cast<uint8_t>(request.from));
  out.put(static_cast<uint32_t>(request.source.value));
  out.put(request.deviation);
  return std::move(out).done();
}

StatusOr<AddExpert> read_add_expert(base::Bytes bytes) {
  constexpr std::string_view kMessage = "add expert";
  base::ByteReader in(bytes);
  AGORA_RETURN_IF_ERROR(read_version(in, kMessage));
  AddExpert request;
  uint32_t layer, source;
  uint8_t from;
  if (!in.read_le(&layer) || !in.read_le(&from) || !in.read_le(&source) ||
      !read_float(in, &request.deviation)) {
    return too_short(kMessage);
  }
  AGORA_RETURN_IF_ERROR(ends_here(in, kMessage));
  request.layer = static_cast<int32_t>(layer);
  request.from = static_cast<AddExpert::From>(from);
  request.source = ExpertId{static_cast<int32_t>(source)};
  const bool ok = request.layer >= -1 && request.from <= AddExpert::From::nearest &&
                  request.source.value >= 0 && request.deviation >= 0 && request.deviation <= 1;
  if (!ok) return malformed(kMessage, "a number is out of range");
  return request;
}

peers::Payload encode_experts(std::span<const ExpertName> names) {
  MessageWriter out(1 + 4 + names.size() * kNameBytes);
  out.put(kWireVersion);
  out.put(static_cast<uint32_t>(names.size()));
  for (const ExpertName name : names) put_name(out, name);
  return std::move(out).done();
}

StatusOr<std::vector<ExpertName>> read_experts(base::Bytes bytes) {
  constexpr std::string_view kMessage = "experts";
  base::ByteReader in(bytes);
  AGORA_RETURN_IF_ERROR(read_version(in, kMessage));
  uint32_t count;
  AGORA_RETURN_IF_ERROR(read_count(in, kNameBytes, kHeadsMax, kMessage, &count));
  std::vector<ExpertName> names(count);
  for (ExpertName& name : names) {
    if (!read_name(in, &name)) return malformed(kMessage, "a name is none");
  }
  return names;
}

}  // namespace agora::swarm
