// What a host still has to do: a priority queue that knows its limits, and when work has become nobody's.
//
//   WorkQueue queue({.calls_max = 4096, .bytes_max = 256 << 20});
//   AGORA_RETURN_IF_ERROR(queue.push(std::move(work)));            // ResourceExhausted: the caller backs off
//   WorkQueue::Taken taken = queue.take(now_ns, rows_max);     // a batch, and what was dropped on the way
//
// Interactive before training before background, in each by the order of arrival. Work that may share a pass
// (same `alike`) is taken together, up to rows_max rows. Work whose deadline has passed, or whose caller gave
// up, is dropped when its turn comes. A pure state machine; one thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <variant>
#include <vector>

#include "agora/peers/transport/transport.h"
#include "agora/swarm/wire/backward_message.h"
#include "agora/swarm/wire/control_message.h"
#include "agora/swarm/wire/mix_message.h"

namespace agora::swarm {

constexpr int64_t kAlone = -1;

struct Work {
  std::shared_ptr<peers::IncomingCall> call;  // holds the bytes that the request borrows
  std::variant<MixRequest, BackwardRequest, std::vector<moe::Ticket>, EndStep> request;
  int64_t rows = 1;        // of experts: what the work costs, about
  int64_t alike = kAlone;  // work of one number may be done in one pass
  int64_t came_ns = 0;
};

struct WorkLimits {
  size_t calls_max = 4096;
  size_t bytes_max = size_t{256} << 20;  // of requests
};

class WorkQueue {
 public:
  explicit WorkQueue(const WorkLimits& limits) : limits_(limits) {}

  Status push(Work work);

  struct Taken {
    std::vector<Work> batch;    // empty: there is nothing to do
    std::vector<Work> dropped;  // late or abandoned
  };
  Taken take(int64_t now_ns, int64_t rows_max);
  std::vector<Work> take_all();  // nobody comes for the rest

  size_t calls() const { return calls_; }
  size_t bytes() const { return bytes_; }
  int64_t rows() const { return rows_; }

 private:
  static constexpr size_t kPriorities = 3;
  static constexpr size_t kLookAhead = 64;  // calls looked at for company: a bound on the time of one take()

  void take_company(std::deque<Work>& queue, int64_t now_ns, int64_t rows_max, Taken& taken);
  Work remove(std::deque<Work>& queue, size_t index);

  WorkLimits limits_;
  std::array<std::deque<Work>, kPriorities> queues_;
  size_t calls_ = 0;
  size_t bytes_ = 0;
  int64_t rows_ = 0;
};

}  // namespace agora::swarm
