// Any bytes as what trainers tell and give each other: news of a round, a trunk; the first byte says which.
// What is read can be written and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "agora/swarm/averaging/news.h"
#include "agora/swarm/trunk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const agora::base::Bytes bytes = std::as_bytes(std::span(data + 1, size - 1));
  if (data[0] % 2 == 0) {
    const auto news = agora::swarm::read_news(bytes);
    if (news.ok() && !agora::swarm::read_news(encode(*news).bytes()).ok()) std::abort();
  } else {
    const auto trunk = agora::swarm::read_trunk(bytes);
    if (trunk.ok() && !agora::swarm::read_trunk(encode(*trunk).bytes()).ok()) std::abort();
  }
  return 0;
}
