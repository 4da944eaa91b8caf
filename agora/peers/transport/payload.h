// Bytes that travel: immutable, shared, never copied on the way through a process.
//
//   Payload p = Payload::own(std::move(vector));   Payload part = p.slice(16, 4096);   p.bytes();
//
// Any thread (the bytes never change).
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "agora/base/bytes.h"

namespace agora::peers {

class Payload {
 public:
  Payload() = default;
  // The bytes live as long as owner does.
  Payload(std::shared_ptr<const void> owner, base::Bytes bytes) : owner_(std::move(owner)), bytes_(bytes) {}

  static Payload own(std::vector<std::byte> bytes) {
    auto owner = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
    const base::Bytes view(*owner);
    return {std::move(owner), view};
  }
  static Payload copy(base::Bytes bytes) { return own({bytes.begin(), bytes.end()}); }

  base::Bytes bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  // offset + count <= size().
  Payload slice(size_t offset, size_t count) const { return {owner_, bytes_.subspan(offset, count)}; }
  const std::shared_ptr<const void>& owner() const { return owner_; }

 private:
  std::shared_ptr<const void> owner_;
  base::Bytes bytes_;
};

}  // namespace agora::peers
