// Which handler serves which method, and the calls that run in them.
//
//   handlers.serve(method, handler);   handlers.handle(call);   handlers.stop();   // none runs any more
//
// Any thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "agora/base/check.h"
#include "agora/base/mutex.h"
#include "agora/peers/transport/gate.h"
#include "agora/peers/transport/transport.h"

namespace agora::peers {

class Handlers {
 public:
  void serve(Method method, CallHandler handler) {
    base::MutexLock lock(mutex_);
    const bool first =
        handlers_.emplace(method, std::make_shared<const CallHandler>(std::move(handler))).second;
    AGORA_CHECK(first);  // once a method
  }

  // False: nobody serves the method, and the call was answered so.
  bool handle(std::shared_ptr<IncomingCall> call) {
    const std::shared_ptr<const CallHandler> handler = find(call->method());
    if (handler == nullptr) {
      call->reply(
          absl::UnimplementedError("the peer does not serve method " + std::to_string(call->method().value)));
      return false;
    }
    if (!gate_.enter()) return true;  // stopping: dropped, which answers Unavailable
    (*handler)(std::move(call));
    gate_.leave();
    return true;
  }

  void stop() { gate_.close(); }

 private:
  std::shared_ptr<const CallHandler> find(Method method) {
    base::MutexLock lock(mutex_);
    const auto found = handlers_.find(method);
    return found == handlers_.end() ? nullptr : found->second;
  }

  Gate gate_;
  base::Mutex mutex_;
  std::map<Method, std::shared_ptr<const CallHandler>> handlers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace agora::peers
