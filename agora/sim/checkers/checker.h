// A property that every run must keep, judged from what the peers did; and what is noted where one does not.
//
//   class QueuesBounded final : public Checker {
//    public:
//     explicit QueuesBounded(Verdict& verdict) : Checker("queues", verdict) {}
//     void look(World& world) override { if (...) violated(world.now_ns(), "at most 16", concat(n)); }
//   };
//
// Safety is judged all the time, from facts; liveness from looks at the world when it has been calm for
// kSettleNs. A checker changes nothing. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agora/base/text.h"
#include "agora/sim/world.h"

namespace agora::sim {

// After the last fault: records of the dead expire (30 s), clogged messages arrive, replicas are made again.
constexpr int64_t kSettleNs = 60 * kSecondNs;

struct Violation {
  std::string_view property;
  int64_t at_ns = 0;
  std::string expected, came;
};

// The first violations of a run; the others are counted.
class Verdict {
 public:
  static constexpr size_t kKeptMax = 8;

  void add(Violation violation) {
    ++count_;
    if (kept_.size() < kKeptMax) kept_.push_back(std::move(violation));
  }
  const std::vector<Violation>& kept() const { return kept_; }
  uint64_t count() const { return count_; }
  bool ok() const { return count_ == 0; }

 private:
  std::vector<Violation> kept_;
  uint64_t count_ = 0;
};

class Checker : public History {
 public:
  Checker(std::string_view property, Verdict& verdict) : property_(property), verdict_(verdict) {}

  virtual void look(World& /*world*/) {}  // every second or so
  void on_calm(int64_t at_ns) override { calm_ns_ = at_ns; }

 protected:
  void violated(int64_t at_ns, std::string expected, std::string came) {
    verdict_.add({property_, at_ns, std::move(expected), std::move(came)});
  }
  bool settled(int64_t now_ns) const { return calm_ns_ >= 0 && now_ns >= calm_ns_ + kSettleNs; }

 private:
  const std::string_view property_;
  Verdict& verdict_;
  int64_t calm_ns_ = -1;
};

inline std::string name_of(swarm::ExpertName expert) {
  return base::concat("layer ", expert.layer.value, " expert ", expert.expert.value);
}

}  // namespace agora::sim
