// Runs a task on a loop, for a caller beside it that waits.
//
//   run_on(loop, [&] { host = std::make_unique<Host>(loop, ...); });
//   run_until(loop, [&](const auto& done) { host->leave(done); });       // there, and what it waits for
//
// Any thread but the loop's own.
#pragma once

#include <functional>

#include "agora/base/loop.h"

namespace agora::base {

// Returns when the task has run.
void run_on(Loop& loop, const std::function<void()>& task);
// Returns when the task has called done(), there or elsewhere, then or later.
void run_until(Loop& loop, const std::function<void(const std::function<void()>& done)>& task);

}  // namespace agora::base
