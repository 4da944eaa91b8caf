// Memory that kernels use within a call and want again in the next one, so that no call waits for fresh
// pages.
//
//   Workspace workspace;   compute.workspace = &workspace;   // the caller's, once for the program
//   CallWorkspace workspace(compute);                        // in a kernel
//   Workspace::Lease lease = workspace.lease(bytes);         // goes back when the lease ends
//
// Leases nest like calls do: the last one out is the first one back. It never shrinks; its size is the
// largest need seen at each depth. One thread at a time: calls that share a Workspace come one after the
// other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "agora/kernels/compute.h"
#include "agora/tensor/buffer.h"

namespace agora::kernels {

class Workspace {
 public:
  class Lease {
   public:
    ~Lease() { --owner_.depth_; }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    std::byte* data() const { return data_; }  // 64-byte aligned, contents undefined

   private:
    friend class Workspace;
    Lease(Workspace& owner, std::byte* data) : owner_(owner), data_(data) {}
    Workspace& owner_;
    std::byte* data_;
  };

  Workspace() = default;
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  Lease lease(int64_t bytes);

 private:
  std::vector<tensor::Buffer<std::byte>> blocks_;  // one for each depth
  size_t depth_ = 0;
};

// The caller's, or one for this call alone where it gave none.
class CallWorkspace {
 public:
  explicit CallWorkspace(const Compute& compute)
      : workspace_(compute.workspace == nullptr ? own_ : *compute.workspace) {}

  Workspace::Lease lease(int64_t bytes) { return workspace_.lease(bytes); }

 private:
  Workspace own_;
  Workspace& workspace_;
};

// Hands out parts of a lease, each aligned to a cache line. The first pass, with no memory, only counts.
class Arena {
 public:
  explicit Arena(std::byte* data = nullptr) : data_(data) {}

  template <class T>
  T* take(int64_t count) {
    std::byte* part = data_ == nullptr ? nullptr : data_ + used_;
    used_ += (count * int64_t{sizeof(T)} + 63) / 64 * 64;
    return reinterpret_cast<T*>(part);
  }
  int64_t used() const { return used_; }

 private:
  std::byte* data_;
  int64_t used_ = 0;
};

}  // namespace agora::kernels
