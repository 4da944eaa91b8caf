#include "agora/base/run_on.h"

#include <memory>

#include "agora/base/awaited.h"

namespace agora::base {
namespace {

struct Done {};

}  // namespace

void run_on(Loop& loop, const std::function<void()>& task) {
  Awaited<Done> ran;
  loop.post([&] {
    task();
    ran.bring({});
  });
  ran.wait();
}

void run_until(Loop& loop, const std::function<void(const std::function<void()>& done)>& task) {
  const auto ended = std::make_shared<Awaited<Done>>();  // shared with done(), which may be kept longer
  loop.post([&] { task([ended] { ended->bring({}); }); });
  ended->wait();
}

}  // namespace agora::base
