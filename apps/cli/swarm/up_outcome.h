// How `agora up` ends: whether what was trained is on the disk, and what went wrong on the way there.
//
//   outcome.set_tried(save_and_summarise());     // at the end of training; again while !outcome.is_settled()
//   if (!outcome.is_saved(newest_trunk, retired)) ...     // once more at the very end
//   return outcome.status();
//
// One thread.
#pragma once

#include <optional>
#include <utility>

#include "agora/base/result.h"
#include "agora/swarm/trunk.h"

namespace agora::cli {

class UpOutcome {
 public:
  // A swarm in trouble may be able to give its experts a little later.
  static constexpr int kTriesMax = 5;

  // What was trained up to this trunk is on the disk, without so many experts that had been retired, whatever
  // becomes of its summary.
  void set_saved(const swarm::TrunkVersion& trunk, size_t retired) {
    if (saved_ && *saved_ < trunk) unfinished_ = absl::OkStatus();  // somebody has gone on
    saved_ = trunk;
    retired_ = retired;
  }
  // How a try to save and summarise ended; the last one counts.
  void set_tried(Status status) {
    tried_ = std::move(status);
    ++tries_;
  }
  // Nobody is left to train: there is nothing to wait for.
  void set_unfinished(Status why) { unfinished_ = std::move(why); }

  // Trainers that come later go on from there: then there is more to save. Or somebody retires an expert.
  bool is_saved(const swarm::TrunkVersion& newest, size_t retired) const {
    return saved_ && *saved_ >= newest && retired_ >= retired;
  }
  // It is not tried again while the swarm runs.
  bool is_settled() const { return tries_ > 0 && (tried_.ok() || !unfinished_.ok() || tries_ >= kTriesMax); }
  // Why there is no summary; else why training did not come to its end.
  const Status& status() const { return tried_.ok() ? unfinished_ : tried_; }

 private:
  std::optional<swarm::TrunkVersion> saved_;
  size_t retired_ = 0;  // when it was saved; nobody comes back
  int tries_ = 0;
  Status tried_;
  Status unfinished_;
};

}  // namespace agora::cli
