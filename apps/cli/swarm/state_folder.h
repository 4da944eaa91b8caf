// The folder of a peer: its key, its log, what it holds. It belongs to one process at a time: two peers with
// one key would take each other's calls, and overwrite each other's experts.
//
//   AGORA_ASSIGN_OR_RETURN(StateFolder folder, StateFolder::open("agora-state"));  // made if it is not there
//   ... while `folder` lives nobody else opens it; it is free when the process ends, however that ends
//   AGORA_ASSIGN_OR_RETURN(const uint64_t run, next_run("agora-state", wall_clock_ns));
//
// Any one thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "agora/base/result.h"

namespace agora::cli {

class StateFolder {
 public:
  // A peer that is ending is waited for. FailedPrecondition: one lives there still after patience_ns.
  static StatusOr<StateFolder> open(const std::string& dir, int64_t patience_ns = 0);

  StateFolder() = default;  // of nobody
  ~StateFolder();
  StateFolder(StateFolder&& other) noexcept : lock_(std::exchange(other.lock_, kNone)) {}
  StateFolder& operator=(StateFolder&& other) noexcept {
    std::swap(lock_, other.lock_);
    return *this;
  }

 private:
  static constexpr int kNone = -1;
  explicit StateFolder(int lock) : lock_(lock) {}

  int lock_ = kNone;  // of the file DIR/lock
};

// A number greater than any that this folder's peer has had, kept in DIR/run: the wall clock's, or where that
// went back the last one's successor. Hosts take what came of an earlier run for applied.
StatusOr<uint64_t> next_run(const std::string& dir, uint64_t wall_clock_ns);

}  // namespace agora::cli
