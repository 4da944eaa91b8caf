#include "agora/serve/http_door.h"

#include <httplib.h>
#include <zlib.h>

#include "absl/strings/str_format.h"
#include "agora/serve/http_connection.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::serve {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr size_t kBodyBytesMax = 1000;
constexpr size_t kFloodBytes = 4 << 20;
constexpr size_t kPacked = 1000;  // bytes that gzip packs into one, where all are the same

std::string gzip_of(const std::string& bytes) {
  constexpr int kWindowBits = 15, kGzip = 16, kMemory = 8;
  z_stream stream{};
  EXPECT_EQ(
      deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, kWindowBits + kGzip, kMemory, Z_DEFAULT_STRATEGY),
      Z_OK);
  std::string packed(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

class Door : public ::testing::Test {
 protected:
  Door() {
    server_ = make_door(
        {.threads = 2, .waiting_max = 4, .silence_s = 5, .kept_s = 5, .body_bytes_max = kBodyBytesMax});
    server_->Get("/page", [](const httplib::Request&, httplib::Response& response) {
      response.set_content("page", "text/plain");
    });
    server_->Post("/size", [](const httplib::Request& request, httplib::Response& response) {
      response.set_content("size " + std::to_string(request.body.size()), "text/plain");
    });
    const StatusOr<peers::Endpoint> at = open_door(*server_, {"127.0.0.1", 0});
    EXPECT_TRUE(at.ok()) << at.status();
    port_ = at->port;
    thread_ = serve_at_door(*server_);
  }
  ~Door() override {
    server_->stop();
    thread_.join();
  }

  // What the server says to these bytes, which need be no good request.
  std::string answer_to(const std::string& bytes) const {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port_);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int client = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(connect(client, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    for (size_t sent = 0; sent < bytes.size();) {
      const ssize_t some = send(client, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (some <= 0) break;
      sent += static_cast<size_t>(some);
    }
    std::string answer;
    char part[4096];
    for (ssize_t count; (count = recv(client, part, sizeof part, 0)) > 0;) answer.append(part, part + count);
    close(client);
    return answer;
  }
  static std::string as_chunk(const std::string& bytes) {
    return absl::StrFormat("%x\r\n%s\r\n", bytes.size(), bytes);
  }
  static std::string in_chunks(size_t bytes) {
    const std::string chunk = as_chunk(std::string(1024, 'a'));
    std::string all = "POST /size HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (size_t i = 0; i < bytes; i += 1024) all += chunk;
    return all + "0\r\n\r\n";
  }

  std::unique_ptr<httplib::Server> server_;
  uint16_t port_ = 0;
  std::thread thread_;
};

TEST_F(Door, ABodyIsReadUpToItsLimitHoweverItComes) {
  const std::string head = "POST /size HTTP/1.1\r\nHost: a\r\n";
  EXPECT_THAT(answer_to(head + "Content-Length: 3\r\n\r\nabc"), HasSubstr("size 3"));
  const std::string flood(kFloodBytes, 'a');
  EXPECT_THAT(answer_to(head + "Content-Length: " + std::to_string(kFloodBytes) + "\r\n\r\n" + flood),
              StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(answer_to(in_chunks(1024)), HasSubstr("size 1024"));  // less than a frame too much
  EXPECT_THAT(answer_to(in_chunks(kFloodBytes)), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(answer_to(head + "\r\n" + flood), StartsWith("HTTP/1.1 400"));
}

// The library would make a thousand bytes of it a million before anybody saw them.
TEST_F(Door, ACompressedBodyIsNotRead) {
  const std::string body = gzip_of(std::string(kBodyBytesMax / 2 * kPacked, 'a'));
  ASSERT_LE(body.size(), kBodyBytesMax);
  const std::string head = "POST /size HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\n";
  EXPECT_THAT(answer_to(head + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body),
              StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(answer_to(head + "Transfer-Encoding: chunked\r\n\r\n" + as_chunk(body) + "0\r\n\r\n"),
              StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(answer_to(head + "\r\n" + body), StartsWith("HTTP/1.1 400"));
}

TEST_F(Door, AHeadIsReadUpToItsLimit) {
  const std::string header = "X: " + std::string(1000, 'b') + "\r\n";
  std::string request = "GET /page HTTP/1.1\r\nHost: a\r\n";
  EXPECT_THAT(answer_to(request + header + "\r\n"), HasSubstr("page"));
  while (request.size() < HttpConnection::kHeadBytesMax) request += header;
  EXPECT_THAT(answer_to(request + "\r\n"), StartsWith("HTTP/1.1 400"));
}

TEST_F(Door, ManyRangesAreOnePage) {
  std::string ranges = "0-";
  for (int i = 0; i < 1000; ++i) ranges += ",0-";
  const std::string answer =
      answer_to("GET /page HTTP/1.1\r\nHost: a\r\nRange: bytes=" + ranges + "\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 4\r\n"));
}

}  // namespace
}  // namespace agora::serve
