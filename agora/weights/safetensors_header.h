// The JSON header of a safetensors file, read from foreign bytes and checked against itself and the format.
//
//   AGORA_ASSIGN_OR_RETURN(SafetensorsHeader header, parse_header(json_text, path));
//
// The parser takes events and stops at the first that the format does not have, so that a hostile header
// costs no more memory than its own size. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agora/base/result.h"
#include "agora/weights/safetensors.h"

namespace agora::weights {

struct HeaderEntry {
  TensorSpec spec;
  int64_t begin = 0;  // in the bytes after the header
  int64_t end = 0;    // end - begin is what dtype and shape need
};

struct SafetensorsHeader {
  std::vector<HeaderEntry> entries;  // by begin, then end, then name; names differ
  Metadata metadata;
};

// Dimensions that overflow are a bug of the caller (CHECK).
int64_t bytes_of(const TensorSpec& spec);

// What a file opens with: the header's length and its JSON, padded so that the first tensor is aligned. The
// tensors stand in the order of the specs. Of one size whatever the hashes in the metadata are.
// InvalidArgument: a name or a value that is not UTF-8, or the name that the format has for its metadata.
StatusOr<std::string> format_header(std::span<const TensorSpec> specs, const Metadata& metadata,
                                    const std::string& file);

StatusOr<SafetensorsHeader> parse_header(std::string_view json, const std::string& file);

// The names of the hashes in __metadata__.
constexpr std::string_view kFileHashKey = "sha256";
constexpr std::string_view kTensorHashPrefix = "sha256:";

// What the whole-file hash is taken of: names, types, shapes and all metadata but that hash itself (so the
// tensors' hashes too), sorted, whatever the layout of the header.
std::string hashed_text(std::span<const TensorSpec> specs, const Metadata& metadata);

}  // namespace agora::weights
