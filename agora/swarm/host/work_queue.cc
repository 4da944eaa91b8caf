#include "agora/swarm/host/work_queue.h"

#include <utility>

#include "absl/strings/str_format.h"

namespace agora::swarm {
namespace {

bool for_nobody(const Work& work, int64_t now_ns) {
  return work.call->deadline_ns() <= now_ns || work.call->abandoned();
}

}  // namespace

Status WorkQueue::push(Work work) {
  const size_t bytes = work.call->payload().size();
  if (calls_ == limits_.calls_max || bytes > limits_.bytes_max - bytes_) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "the host's queue holds %d calls of %d bytes, at most %d of %d; back off, or ask another", calls_,
        bytes_, limits_.calls_max, limits_.bytes_max));
  }
  ++calls_;
  bytes_ += bytes;
  rows_ += work.rows;
  queues_[static_cast<size_t>(work.call->priority()) % kPriorities].push_back(std::move(work));
  return absl::OkStatus();
}

WorkQueue::Taken WorkQueue::take(int64_t now_ns, int64_t rows_max) {
  Taken taken;
  for (std::deque<Work>& queue : queues_) {
    while (!queue.empty() && taken.batch.empty()) {
      auto& to = for_nobody(queue.front(), now_ns) ? taken.dropped : taken.batch;
      to.push_back(remove(queue, 0));
    }
    if (taken.batch.empty()) continue;
    if (taken.batch.front().alike != kAlone) take_company(queue, now_ns, rows_max, taken);
    break;
  }
  return taken;
}

std::vector<Work> WorkQueue::take_all() {
  std::vector<Work> all;
  for (std::deque<Work>& queue : queues_) {
    while (!queue.empty()) all.push_back(remove(queue, 0));
  }
  return all;
}

void WorkQueue::take_company(std::deque<Work>& queue, int64_t now_ns, int64_t rows_max, Taken& taken) {
  int64_t rows = taken.batch.front().rows;
  const int64_t alike = taken.batch.front().alike;
  size_t looked_at = 0;
  for (size_t i = 0; i < queue.size() && looked_at < kLookAhead; ++looked_at) {
    if (queue[i].alike != alike || rows + queue[i].rows > rows_max) {
      ++i;
    } else if (for_nobody(queue[i], now_ns)) {
      taken.dropped.push_back(remove(queue, i));
    } else {
      rows += queue[i].rows;
      taken.batch.push_back(remove(queue, i));
    }
  }
}

Work WorkQueue::remove(std::deque<Work>& queue, size_t index) {
  Work work = std::move(queue[index]);
  queue.erase(queue.begin() + static_cast<std::ptrdiff_t>(index));
  --calls_;
  bytes_ -= work.call->payload().size();
  rows_ -= work.rows;
  return work;
}

}  // namespace agora::swarm
