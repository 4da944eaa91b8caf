// SHA-256 of bytes: the content hash of tensors, files and snapshots.
//
//   std::string hex = sha256_hex(base::as_bytes(text));      // 64 lower-case hex digits
//   Sha256 hash;  hash.update(part);  hash.update(rest);  Digest digest = hash.finish();
//
// About 1.7 GB/s with the processor's SHA instructions. A Sha256 belongs to one thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "agora/base/bytes.h"

namespace agora::weights {

using base::Bytes;
using Digest = std::array<uint8_t, 32>;

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(Bytes bytes);
  Digest finish();  // once; after it only destruction

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

Digest sha256(Bytes bytes);
std::string sha256_hex(Bytes bytes);
std::string to_hex(const Digest& digest);

}  // namespace agora::weights
