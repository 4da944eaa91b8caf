#include "apps/cli/swarm/http_front.h"

#include <httplib.h>

#include "absl/strings/str_cat.h"
#include "agora/serve/http_door.h"

namespace agora::cli {
namespace {

constexpr char kText[] = "text/plain; charset=utf-8";

void add_headers(httplib::Response& response, const std::string& policy) {
  response.set_header("Content-Security-Policy", policy);
  response.set_header("X-Content-Type-Options", "nosniff");
  response.set_header("Referrer-Policy", "no-referrer");
  response.set_header("Cache-Control", "no-store");
}

bool is_loopback(const std::string& host) {
  const bool v4 = host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos;
  return v4 || host == "localhost" || host == "::1" || host == "[::1]";
}

}  // namespace

bool is_own_host(const std::string& host_header, const std::string& listen_host) {
  if (!is_loopback(listen_host)) return true;
  const size_t colon = host_header.rfind(':');
  const bool v6 = host_header.starts_with('[');
  const bool has_port = colon != std::string::npos && (!v6 || colon > host_header.rfind(']'));
  const std::string host = host_header.substr(0, has_port ? colon : std::string::npos);
  return host.empty() || host == listen_host || is_loopback(host);
}

HttpFront::HttpFront()
    : server_(serve::make_door({.threads = kThreads,
                                .waiting_max = kWaitingMax,
                                .silence_s = kSilenceS,
                                .kept_s = kSilenceS,
                                .body_bytes_max = 0})) {}

HttpFront::~HttpFront() {
  server_->stop();
  if (thread_.joinable()) thread_.join();
}

StatusOr<std::unique_ptr<HttpFront>> HttpFront::start(const peers::Endpoint& listen,
                                                      const std::vector<HttpPage>& pages,
                                                      const std::string& policy) {
  std::unique_ptr<HttpFront> front(new HttpFront());
  httplib::Server& server = *front->server_;
  std::string paths;
  for (const HttpPage& page : pages) {
    absl::StrAppend(&paths, " ", page.path);
    server.Get(page.path, [page](const httplib::Request&, httplib::Response& response) {
      response.set_content(page.make(), page.type.c_str());
    });
  }
  server.set_pre_routing_handler([host = listen.host, policy](const httplib::Request& request,
                                                              httplib::Response& response) {
    add_headers(response, policy);
    if (is_own_host(request.get_header_value("Host"), host)) {
      return httplib::Server::HandlerResponse::Unhandled;
    }
    response.status = 403;
    response.set_content("Expected this peer's address in the request, not another name for it.\n", kText);
    return httplib::Server::HandlerResponse::Handled;
  });
  server.set_error_handler([paths](const httplib::Request&, httplib::Response& response) {
    if (response.body.empty()) response.set_content(absl::StrCat("There is only GET", paths, "\n"), kText);
  });
  const StatusOr<peers::Endpoint> at = serve::open_door(server, listen);
  if (!at.ok()) {
    return Status(at.status().code(),
                  absl::StrCat("--http: ", std::string(at.status().message()), "; --http off for none"));
  }
  front->endpoint_ = *at;
  front->thread_ = serve::serve_at_door(server);
  return front;
}

}  // namespace agora::cli
