// What every transport must do: one suite that loopback, gRPC and the faulty one without faults pass alike.
//
//   INSTANTIATE_TEST_SUITE_P(Grpc, TransportSuite, testing::Values(TransportUnderTest{"tls", make_grpc}),
//       name_of);
#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "agora/base/clock.h"
#include "agora/base/mutex.h"
#include "agora/peers/transport/transport.h"
#include <gtest/gtest.h>

namespace agora::tests {

// Peers that can reach each other, and the way in which their time passes.
class TransportNet {
 public:
  virtual ~TransportNet() = default;
  // Each with an identity of its own. Destroyed before the net.
  virtual std::unique_ptr<peers::Transport> add_peer() = 0;
  virtual const Clock& clock() const = 0;
  virtual bool has_threads() const = 0;  // false: the test's own thread runs everything, in await()
  // Lets time pass until it is so; false: it did not become so within the limit.
  virtual bool await(const std::function<bool()>& so) = 0;
};

// The await() of nets whose threads do the work.
bool await_in_real_time(const std::function<bool()>& so);

struct TransportUnderTest {
  std::string name;
  std::function<std::unique_ptr<TransportNet>()> make;
};

inline void PrintTo(const TransportUnderTest& transport, std::ostream* out) { *out << transport.name; }
inline std::string name_of(const testing::TestParamInfo<TransportUnderTest>& info) { return info.param.name; }

// What one call has brought.
class Answer {
 public:
  peers::CallEvents events();
  bool done() const;
  int done_count() const;
  peers::Reply reply() const;
  std::vector<peers::Payload> parts() const;
  bool part_after_done() const;

 private:
  struct State {
    base::Mutex mutex;
    int done_count ABSL_GUARDED_BY(mutex) = 0;
    bool part_after_done ABSL_GUARDED_BY(mutex) = false;
    peers::Reply reply ABSL_GUARDED_BY(mutex);
    std::vector<peers::Payload> parts ABSL_GUARDED_BY(mutex);
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

constexpr peers::Method kEcho{20};
constexpr peers::Method kHold{21};   // kept in TransportSuite::held(), never answered
constexpr peers::Method kParts{22};  // as many parts as the first byte says, then a reply
constexpr peers::Method kNobody{99};

peers::Payload random_payload(size_t size, uint64_t seed);
bool same(const peers::Payload& a, const peers::Payload& b);

class TransportSuite : public testing::TestWithParam<TransportUnderTest> {
 protected:
  void SetUp() override { net_ = GetParam().make(); }
  void TearDown() override;

  // A peer that serves the methods above.
  std::unique_ptr<peers::Transport> make_peer();
  peers::CallSettings to(const peers::Transport& peer, peers::Method method, int64_t limit_ms = 20'000) const;
  Answer call(peers::Transport& from, const peers::CallSettings& settings, peers::Payload payload = {});
  // Calls and waits.
  peers::Reply ask(peers::Transport& from, const peers::CallSettings& settings, peers::Payload payload = {});

  std::vector<std::shared_ptr<peers::IncomingCall>> held() const;
  void let_go();

  std::unique_ptr<TransportNet> net_;

 private:
  mutable base::Mutex mutex_;
  std::vector<std::shared_ptr<peers::IncomingCall>> held_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace agora::tests
