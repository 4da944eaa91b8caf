// Any bytes as the body of a request over HTTP, and as a server's explanation of a text.
#include <cstddef>
#include <cstdint>

#include "agora/serve/completions.h"
#include "agora/serve/explain_swarm.h"
#include "agora/serve/trace_json.h"
#include "agora/weights/strict_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)agora::serve::parse_completion(text, "words");
  const auto json = agora::weights::parse_json(text, "input",
                                               {.bytes_max = agora::serve::kExplainBytesMax, .depth_max = 8});
  if (json.ok()) (void)agora::serve::read_trace_json(*json);
  return 0;
}
