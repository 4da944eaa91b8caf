#include "agora/kernels/workspace.h"

namespace agora::kernels {

Workspace::Lease Workspace::lease(int64_t bytes) {
  if (depth_ == blocks_.size()) blocks_.emplace_back();
  tensor::Buffer<std::byte>& block = blocks_[depth_];
  if (block.size() < bytes) {
    block = {};  // the old one goes first: the two are never held together
    block = tensor::Buffer<std::byte>::uninitialised(1, bytes, tensor::Purpose::scratch);
  }
  ++depth_;
  return Lease(*this, block.data());
}

}  // namespace agora::kernels
