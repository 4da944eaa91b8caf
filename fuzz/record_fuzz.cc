// Any bytes as a directory record. What parses is within the limits, and no view takes it unless its
// signature holds.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "agora/base/check.h"
#include "agora/peers/directory/view.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace agora::peers;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto record = read_record(bytes);
  DirectoryView view({.swarm = {}, .self = {}});
  std::vector<DirectoryEvent> events;
  const Verdict verdict = view.take(bytes, 0, &events);
  if (!record.ok()) {
    AGORA_CHECK(verdict == Verdict::malformed || verdict == Verdict::oversized);
    return 0;
  }
  AGORA_CHECK_LE(record->body.size(), kRecordBodyBytesMax);
  AGORA_CHECK_LE(record->endpoint.host.size(), kRecordHostBytesMax);
  AGORA_CHECK(record->peer == peer_id_of(record->key));
  AGORA_CHECK(verdict != Verdict::taken || signature_holds(*record, bytes));
  return 0;
}
