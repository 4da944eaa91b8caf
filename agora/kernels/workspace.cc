#include "agora/kernels/workspace.h"

namespace agora::kernels {

Workspace::Lease Workspace::lease(int64_t bytes) {
  if (depth_ == blocks_.size()) blocks_.emplace_back();
  tensor::Buffer<std::byte>& block = blocks_[depth_];
  if (block.size() < bytes) {
    block = {};  // the old one goes first: the two are never held together
    // A little more than is asked for: what experts need differs from batch to batch, and every growth is
    // paid with fresh pages.
    block = tensor::Buffer<std::byte>::uninitialised(1, bytes + bytes / 8, tensor::Purpose::scratch);
  }
  ++depth_;
  return Lease(*this, block.data());
}

}  // namespace agora::kernels
