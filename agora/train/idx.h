// IDX files (the format of MNIST): counts checked against the bytes before anything is allocated. Plain or
// gzip.
//
//   AGORA_ASSIGN_OR_RETURN(IdxArray images, read_idx("train-images-idx3-ubyte.gz"));   // {60000, 28, 28}
//
// Only unsigned bytes (type 0x08), the only type that is in use. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agora/base/bytes.h"
#include "agora/base/result.h"

namespace agora::train {

struct IdxArray {
  std::vector<int64_t> shape;
  std::vector<uint8_t> values;  // row by row
};

StatusOr<IdxArray> read_idx(const std::string& path);
StatusOr<IdxArray> parse_idx(base::Bytes bytes, const std::string& file);  // unpacked bytes

}  // namespace agora::train
