// A host's disk in memory: it stays when the host's process goes, and fails as disks do.
//
//   auto disk = std::make_shared<SimDisk>(rng.fork("disk"));
//   HostOptions options{.folder = "experts", .files = disk};
//   disk->faults.full = true;   disk->faults.flip_ppm = 1000;   disk->power_off();
//
// Given to HostOptions::files. A write is there at once and for good, but where the machine goes within
// kUnsettledWrites writes of a disk that lies about its flushes: then one of them may be torn. One thread.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "agora/base/rng.h"
#include "agora/weights/files.h"

namespace agora::sim {

struct DiskFaults {
  bool full = false;      // nothing more is written
  uint32_t flip_ppm = 0;  // of reads: one bit of the file has turned over, for good
  uint32_t torn_ppm = 0;  // of power cuts: one of the last writes is there in part only
};

struct DiskCounters {
  uint64_t writes = 0, writes_refused = 0, reads = 0, bits_flipped = 0, torn = 0;
};

class SimDisk final : public weights::Files {
 public:
  static constexpr size_t kUnsettledWrites = 4;

  explicit SimDisk(Rng rng) : rng_(rng) {}

  std::vector<std::string> list(const std::string& folder, size_t names_max) override;
  Status write(const std::string& folder, const std::string& name, base::Bytes content) override;
  StatusOr<std::string> read(const std::string& path, int64_t bytes_max) override;
  void remove(const std::string& path) override { files_.erase(path); }

  void power_off();
  DiskFaults faults;
  const DiskCounters& counters() const { return counters_; }

 private:
  bool chance(uint32_t ppm) { return ppm > 0 && rng_.below(1'000'000) < ppm; }

  Rng rng_;
  std::map<std::string, std::string> files_;
  std::deque<std::string> unsettled_;  // the last paths written
  DiskCounters counters_;
};

}  // namespace agora::sim
