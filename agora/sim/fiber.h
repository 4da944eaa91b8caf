// Callers that wait, many of them on one thread: each has a stack of its own and runs until it parks.
//
//   Fibers fibers;
//   fibers.start([&] { ... wake_later(fibers.current()); fibers.park(); ... });   // to its first park()
//   fibers.resume(fiber);                                              // to its next, or to its end
//
// Switching costs a fraction of a microsecond. Stacks are kept for the next fiber. A fiber that has not ended
// when Fibers is destroyed is a bug (CHECK): what lies on its stack would never be destroyed. One thread;
// start() and resume() from outside of fibers or from inside: the one who calls goes on when the other parks.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

namespace agora::sim {

struct Fiber;

class Fibers {
 public:
  Fibers();
  ~Fibers();
  Fibers(const Fibers&) = delete;
  Fibers& operator=(const Fibers&) = delete;

  void start(std::function<void()> body);
  void resume(Fiber* fiber);                   // that has parked
  void park();                                 // from inside
  Fiber* current() const { return current_; }  // null: outside of fibers
  size_t alive() const { return alive_; }

 private:
  friend struct Fiber;
  void enter(Fiber* fiber);

  Fiber* current_ = nullptr;
  size_t alive_ = 0;
  std::vector<std::unique_ptr<Fiber>> all_;
  std::vector<Fiber*> free_;
};

}  // namespace agora::sim
