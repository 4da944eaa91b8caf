#include "agora/base/loop.h"

#include <thread>

namespace agora::base {

void Loop::run_together(std::vector<Task> tasks) {
  std::vector<std::thread> threads;
  threads.reserve(tasks.size());
  for (Task& task : tasks) threads.emplace_back(std::move(task));
  for (std::thread& thread : threads) thread.join();
}

}  // namespace agora::base
