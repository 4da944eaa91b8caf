#include "apps/cli/swarm/state_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "agora/weights/atomic_file.h"
#include <sys/file.h>

namespace agora::cli {
namespace {

constexpr int64_t kRunBytesMax = 32;
constexpr int64_t kLookNs = 20'000'000;  // whether the folder has become free

}  // namespace

StatusOr<StateFolder> StateFolder::open(const std::string& dir, int64_t patience_ns) {
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("--state ", dir, ": expected a folder of our own: ", error.message()));
  }
  const std::string path = dir + "/lock";
  StateFolder folder(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (folder.lock_ == kNone) {
    return absl::InvalidArgumentError(
        absl::StrCat("--state ", dir, ": expected a folder to write to: ", path, ": ", strerror(errno)));
  }
  for (int64_t waited_ns = 0;; waited_ns += kLookNs) {
    if (flock(folder.lock_, LOCK_EX | LOCK_NB) == 0) return folder;
    if (errno != EWOULDBLOCK || waited_ns >= patience_ns) break;
    usleep(kLookNs / 1000);
  }
  if (errno != EWOULDBLOCK) {
    return absl::InvalidArgumentError(
        absl::StrCat("--state ", dir, ": its lock can not be taken: ", path, ": ", strerror(errno)));
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "--state ", dir, ": a peer that runs already lives there; end it, or name another folder"));
}

StateFolder::~StateFolder() {
  if (lock_ != kNone) ::close(lock_);
}

StatusOr<uint64_t> next_run(const std::string& dir, uint64_t wall_clock_ns) {
  const std::string path = dir + "/run";
  uint64_t last = 0;
  if (const auto text = weights::read_file(path, kRunBytesMax); text.ok()) {
    if (!absl::SimpleAtoi(*text, &last) || last == UINT64_MAX) last = 0;
  }
  const uint64_t run = std::max(wall_clock_ns, last + 1);
  AGORA_RETURN_IF_ERROR(weights::write_file_atomic(path, absl::StrCat(run)));
  return run;
}

}  // namespace agora::cli
