#include "apps/cli/swarm/http_front.h"

#include <httplib.h>

#include "absl/strings/str_cat.h"

namespace agora::cli {

HttpFront::HttpFront() : server_(std::make_unique<httplib::Server>()) {}

HttpFront::~HttpFront() {
  server_->stop();
  if (thread_.joinable()) thread_.join();
}

StatusOr<std::unique_ptr<HttpFront>> HttpFront::start(const peers::Endpoint& listen,
                                                      const std::vector<HttpPage>& pages) {
  std::unique_ptr<HttpFront> front(new HttpFront());
  httplib::Server& server = *front->server_;
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server.set_read_timeout(kSilenceS);
  server.set_write_timeout(kSilenceS);
  server.set_keep_alive_timeout(kSilenceS);
  server.set_payload_max_length(0);
  // The library's own choice would let two peers share a port.
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  for (const HttpPage& page : pages) {
    server.Get(page.path, [page](const httplib::Request&, httplib::Response& response) {
      response.set_content(page.make(), page.type.c_str());
    });
  }
  front->endpoint_ = listen;
  const int port = listen.port == 0 ? server.bind_to_any_port(listen.host)
                                    : (server.bind_to_port(listen.host, listen.port) ? listen.port : -1);
  if (port <= 0) {
    return absl::UnavailableError(
        absl::StrCat("--http ", listen.text(), ": expected a port that is free and ours to open"));
  }
  front->endpoint_.port = static_cast<uint16_t>(port);
  front->thread_ = std::thread([&server] { server.listen_after_bind(); });
  while (!server.is_running()) std::this_thread::yield();  // stop() before that would be lost
  return front;
}

}  // namespace agora::cli
