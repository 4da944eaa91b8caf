#include "agora/serve/http_door.h"

#include <httplib.h>

#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "agora/base/mutex.h"
#include "agora/base/text.h"
#include "agora/serve/http_connection.h"

namespace agora::serve {
namespace {

// The library's own pool takes any number of connections: this one makes the door wait.
class BoundedThreads final : public httplib::TaskQueue {
 public:
  BoundedThreads(size_t threads, size_t waiting_max) : waiting_max_(waiting_max) {
    for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
  }
  void enqueue(std::function<void()> task) override {
    const base::MutexLock lock(mutex_);
    while (tasks_.size() >= waiting_max_) changed_.wait(mutex_);
    tasks_.push_back(std::move(task));
    changed_.wake_all();
  }
  void shutdown() override {
    {
      const base::MutexLock lock(mutex_);
      stopping_ = true;
      changed_.wake_all();
    }
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  // What was taken is done also at the end: each task closes its connection.
  bool take(std::function<void()>* task) {
    const base::MutexLock lock(mutex_);
    while (tasks_.empty() && !stopping_) changed_.wait(mutex_);
    if (tasks_.empty()) return false;
    *task = std::move(tasks_.front());
    tasks_.pop_front();
    changed_.wake_all();
    return true;
  }
  void run() {
    std::function<void()> task;
    while (take(&task)) task();
  }

  const size_t waiting_max_;
  base::Mutex mutex_;
  base::Condition changed_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

class DoorServer final : public httplib::Server {
 public:
  explicit DoorServer(const HttpDoor& door) : door_(door) {
    new_task_queue = [door] { return new BoundedThreads(door.threads, door.waiting_max); };
    set_payload_max_length(door.body_bytes_max);
    // The library's own choice would let two servers share a port.
    set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
  }

 private:
  bool process_and_close_socket(socket_t socket) override {
    HttpConnection connection(socket, door_.kept_s, door_.silence_s);
    if (!connection.has_begun()) return false;
    bool closed = false;
    const bool well = process_request(connection, /*close_connection=*/true, closed,
                                      [&](httplib::Request& request) { admit(connection, request); });
    connection.end();
    return well;
  }
  // Between the head of a request and its body.
  void admit(HttpConnection& connection, httplib::Request& request) const {
    request.ranges.clear();
    // The library has this for its clients alone: so a request of ours knows of its connection.
    request.progress = [&connection](uint64_t, uint64_t) { return connection.is_there(); };
    if (request.has_header("Content-Encoding")) return connection.refuse_body();
    connection.begin_body(door_.body_bytes_max);
  }

  const HttpDoor door_;
};

}  // namespace

std::unique_ptr<httplib::Server> make_door(const HttpDoor& door) {
  return std::make_unique<DoorServer>(door);
}

bool still_waits(const httplib::Request& request) { return request.progress(0, 0); }

StatusOr<peers::Endpoint> open_door(httplib::Server& server, const peers::Endpoint& listen) {
  const int port = listen.port == 0 ? server.bind_to_any_port(listen.host)
                                    : (server.bind_to_port(listen.host, listen.port) ? listen.port : -1);
  if (port > 0) return peers::Endpoint{listen.host, static_cast<uint16_t>(port)};
  return absl::UnavailableError(
      base::concat("HTTP at ", listen.text(), ": expected a port that is free and ours to open"));
}

std::thread serve_at_door(httplib::Server& server) {
  std::thread thread([&server] { server.listen_after_bind(); });
  while (!server.is_running()) std::this_thread::yield();  // stop() before that would be lost
  return thread;
}

}  // namespace agora::serve
