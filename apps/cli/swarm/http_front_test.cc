#include "apps/cli/swarm/http_front.h"

#include <httplib.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agora::cli {
namespace {

using ::testing::HasSubstr;

class HttpFrontTest : public ::testing::Test {
 protected:
  HttpFrontTest() {
    auto front =
        HttpFront::start({"127.0.0.1", 0}, {{"/now", "text/plain", [] { return "noon"; }}}, "nothing");
    EXPECT_TRUE(front.ok()) << front.status();
    front_ = *std::move(front);
  }
  httplib::Client client() const { return httplib::Client("127.0.0.1", front_->endpoint().port); }

  std::unique_ptr<HttpFront> front_;
};

TEST_F(HttpFrontTest, GivesItsPagesAndNothingElse) {
  const auto page = client().Get("/now");
  ASSERT_TRUE(page);
  EXPECT_EQ(page->status, 200);
  EXPECT_EQ(page->body, "noon");
  EXPECT_EQ(page->get_header_value("Content-Security-Policy"), "nothing");
  EXPECT_EQ(page->get_header_value("X-Content-Type-Options"), "nosniff");
  const auto other = client().Get("/other");
  ASSERT_TRUE(other);
  EXPECT_EQ(other->status, 404);
  EXPECT_THAT(other->body, HasSubstr("GET /now"));
  const auto post = client().Post("/now", "x", "text/plain");
  EXPECT_TRUE(!post || post->status >= 400);
}

TEST_F(HttpFrontTest, IsNotReachedUnderAForeignName) {
  const auto page = client().Get("/now", {{"Host", "evil.example:80"}});
  ASSERT_TRUE(page);
  EXPECT_EQ(page->status, 403);
}

TEST_F(HttpFrontTest, AnswersWhileOthersHoldConnectionsOpen) {
  std::vector<int> idle;
  for (size_t i = 0; i + 1 < HttpFront::kThreads; ++i) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(front_->endpoint().port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    idle.push_back(socket(AF_INET, SOCK_STREAM, 0));
    ASSERT_EQ(connect(idle.back(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  }
  EXPECT_TRUE(client().Get("/now"));
  for (const int one : idle) close(one);
}

TEST(HttpFront, SaysThatAPortIsTaken) {
  const auto first = HttpFront::start({"127.0.0.1", 0}, {}, "");
  ASSERT_TRUE(first.ok());
  const auto second = HttpFront::start((*first)->endpoint(), {}, "");
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("--http: HTTP at " + (*first)->endpoint().text()));
}

TEST(HttpFront, KnowsItsOwnHosts) {
  for (const char* own : {"127.0.0.1", "127.0.0.1:80", "localhost", "localhost:4", "[::1]:80", "[::1]", ""}) {
    EXPECT_TRUE(is_own_host(own, "127.0.0.1")) << own;
  }
  for (const char* foreign : {"evil.example", "evil.example:80", "127.evil.example"}) {
    EXPECT_FALSE(is_own_host(foreign, "127.0.0.1")) << foreign;
    EXPECT_TRUE(is_own_host(foreign, "0.0.0.0")) << foreign;
  }
}

}  // namespace
}  // namespace agora::cli
