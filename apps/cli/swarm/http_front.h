// The small HTTP front of a peer: pages that are made when they are asked for. Metrics, status, dashboard.
//
//   AGORA_ASSIGN_OR_RETURN(auto front, HttpFront::start({"127.0.0.1", 0},
//                                                       {{"/metrics", "text/plain", make}}));
//   front->endpoint();                                          // with the port that was found
//
// It answers GET and nothing else, closes a connection that is silent for kSilenceS seconds, and is meant for
// loopback or a network that one trusts: it asks nobody who they are. At loopback a browser that was led here
// under another name (a foreign page whose name now means 127.0.0.1) is refused. A page is made on one of
// kThreads threads of the front; the destructor ends them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agora/base/result.h"
#include "agora/peers/endpoint.h"

namespace httplib {
class Server;
}

namespace agora::cli {

struct HttpPage {
  std::string path;  // "/metrics"
  std::string type;  // MIME
  std::function<std::string()> make;
};

class HttpFront {
 public:
  static constexpr size_t kThreads = 4;
  static constexpr size_t kWaitingMax = 32;  // connections beyond; see serve/http_door.h
  static constexpr int kSilenceS = 2;

  // policy: the header Content-Security-Policy. Unavailable: the port is taken, or not ours to open.
  static StatusOr<std::unique_ptr<HttpFront>> start(const peers::Endpoint& listen,
                                                    const std::vector<HttpPage>& pages,
                                                    const std::string& policy);
  ~HttpFront();

  const peers::Endpoint& endpoint() const { return endpoint_; }

 private:
  HttpFront();

  std::unique_ptr<httplib::Server> server_;
  peers::Endpoint endpoint_;
  std::thread thread_;
};

// Whether who asks for this Host means us; away from loopback, where others may come in anyway, all do.
bool is_own_host(const std::string& host_header, const std::string& listen_host);

}  // namespace agora::cli
