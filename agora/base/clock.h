// Time as a thing that is given: code that needs a clock takes a Clock, so that tests and the simulator own
// time.
//
//   void Meter::tick(const Clock& clock);     RealClock real;
//
// Any thread.
#pragma once

#include <cstdint>
#include <ctime>

namespace agora {

class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds from an unknown start; never goes back.
  virtual int64_t now_ns() const = 0;
};

// Goes on while the machine sleeps, as the standard's steady clock does not: who wakes after an hour must see
// that what others told it is an hour old.
class RealClock final : public Clock {
 public:
  int64_t now_ns() const override {
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  }
};

}  // namespace agora
