#include "agora/sim/fiber.h"

#include <ucontext.h>

#include <utility>

#include "agora/base/check.h"
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define AGORA_FIBERS_UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define AGORA_FIBERS_UNDER_ASAN 1
#endif
#endif
#ifdef AGORA_FIBERS_UNDER_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

namespace agora::sim {
namespace {

constexpr size_t kStackBytes = size_t{1} << 20;  // a trainer's step needs 100 KiB; only touched pages cost
constexpr size_t kGuardBytes = 4096;             // below it: an overflow is a fault, not a riddle

// The address sanitizer is told which stack is in use; without it these are nothing.
struct StackSwitch {
#ifdef AGORA_FIBERS_UNDER_ASAN
  void* shadow = nullptr;
  void leave(const void* bottom, size_t bytes) { __sanitizer_start_switch_fiber(&shadow, bottom, bytes); }
  void leave_for_ever(const void* bottom, size_t bytes) {
    __sanitizer_start_switch_fiber(nullptr, bottom, bytes);
  }
  void arrive(const void** bottom, size_t* bytes) { __sanitizer_finish_switch_fiber(shadow, bottom, bytes); }
#else
  void leave(const void*, size_t) {}
  void leave_for_ever(const void*, size_t) {}
  void arrive(const void**, size_t*) {}
#endif
};

}  // namespace

struct Fiber {
  explicit Fiber(Fibers& owner) : fibers(owner) {
    stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                 -1, 0);
    AGORA_CHECK(stack != MAP_FAILED);
    AGORA_CHECK(mprotect(stack, kGuardBytes, PROT_NONE) == 0);
  }
  ~Fiber() { munmap(stack, kStackBytes); }

  // makecontext() passes nothing but ints.
  static void begin(unsigned high, unsigned low) {
    auto* fiber = reinterpret_cast<Fiber*>(uintptr_t{high} << 32 | uintptr_t{low});
    fiber->run();
  }

  void run() {
    inside.arrive(&outer_bottom, &outer_bytes);
    body();
    body = nullptr;
    ended = true;
    inside.leave_for_ever(outer_bottom, outer_bytes);
    setcontext(&outer);
  }

  Fibers& fibers;
  void* stack;
  std::function<void()> body;
  ucontext_t own{}, outer{};
  Fiber* outer_fiber = nullptr;  // who resumed this one; null: the thread itself
  bool ended = false;
  StackSwitch inside, outside;
  const void* outer_bottom = nullptr;
  size_t outer_bytes = 0;
};

Fibers::Fibers() = default;

Fibers::~Fibers() { AGORA_CHECK(alive_ == 0); }

void Fibers::start(std::function<void()> body) {
  if (free_.empty()) {
    all_.push_back(std::make_unique<Fiber>(*this));
    free_.push_back(all_.back().get());
  }
  Fiber* fiber = free_.back();
  free_.pop_back();
  ++alive_;
  fiber->body = std::move(body);
  fiber->ended = false;
  getcontext(&fiber->own);
  fiber->own.uc_stack.ss_sp = fiber->stack;
  fiber->own.uc_stack.ss_size = kStackBytes;
  fiber->own.uc_link = nullptr;
  const auto address = reinterpret_cast<uintptr_t>(fiber);
  makecontext(&fiber->own, reinterpret_cast<void (*)()>(&Fiber::begin), 2,
              static_cast<unsigned>(address >> 32), static_cast<unsigned>(address));
  enter(fiber);
}

void Fibers::resume(Fiber* fiber) {
  AGORA_CHECK(fiber != nullptr && !fiber->ended && fiber != current_);
  enter(fiber);
}

void Fibers::enter(Fiber* fiber) {
  fiber->outer_fiber = std::exchange(current_, fiber);
  fiber->outside.leave(fiber->stack, kStackBytes);
  swapcontext(&fiber->outer, &fiber->own);
  fiber->outside.arrive(nullptr, nullptr);
  current_ = fiber->outer_fiber;
  if (!fiber->ended) return;
  --alive_;
  free_.push_back(fiber);
}

void Fibers::park() {
  Fiber* fiber = current_;
  AGORA_CHECK(fiber != nullptr);
  fiber->inside.leave(fiber->outer_bottom, fiber->outer_bytes);
  swapcontext(&fiber->own, &fiber->outer);
  fiber->inside.arrive(&fiber->outer_bottom, &fiber->outer_bytes);
}

}  // namespace agora::sim
