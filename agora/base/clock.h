// Time as a thing that is given: code that needs a clock takes a Clock, so that tests and the simulator own
// time.
//
//   void Meter::tick(const Clock& clock);     RealClock real;
//
// Any thread.
#pragma once

#include <chrono>
#include <cstdint>

namespace agora {

class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds from an unknown start; never goes back.
  virtual int64_t now_ns() const = 0;
};

class RealClock final : public Clock {
 public:
  int64_t now_ns() const override {
    const auto since_start = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(since_start).count();
  }
};

}  // namespace agora
