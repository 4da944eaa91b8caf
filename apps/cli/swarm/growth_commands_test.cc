// agora expert, as it asks a host.
#include <atomic>
#include <memory>
#include <string>

#include "agora/base/clock.h"
#include "agora/peers/identity/identity.h"
#include "agora/peers/transport/grpc/grpc_transport.h"
#include "agora/swarm/host/host_messages.h"
#include "agora/swarm/wire/method.h"
#include <CLI/CLI.hpp>
#include <gtest/gtest.h>

#include "apps/cli/swarm/swarm_command.h"
#include "apps/dashboard/peer_status.h"

namespace agora::cli {
namespace {

// Answers what it is told to, and remembers how long it was given.
class FakeHost {
 public:
  FakeHost()
      : transport_(peers::GrpcTransport::start(peers::Identity::generate(),
                                               {.listen = {"127.0.0.1", 0}, .swarm_key = {}, .limits = {}})
                       .value()) {
    transport_->serve(swarm::kGetStatus, [this](const std::shared_ptr<peers::IncomingCall>& call) {
      dashboard::PeerStatus status;
      status.self.peer = transport_->self();
      status.self.at = transport_->endpoint();
      status.self.state.host = true;
      status.swarm_id = std::string(64, '0');
      const std::string text = dashboard::status_text(status);
      call->reply(absl::OkStatus(), peers::Payload::copy(base::as_bytes(text)));
    });
    transport_->serve(swarm::kAddExpert, [this](const std::shared_ptr<peers::IncomingCall>& call) {
      ++asked;
      seconds = static_cast<double>(call->deadline_ns() - RealClock().now_ns()) * 1e-9;
      if (answer.ok()) return call->reply(answer, swarm::encode_experts({}));
      call->reply(answer);
    });
  }
  ~FakeHost() { transport_->stop(); }
  std::string at() const { return transport_->endpoint().text(); }

  Status answer;
  std::atomic<int> asked = 0;
  std::atomic<double> seconds = 0;

 private:
  std::unique_ptr<peers::GrpcTransport> transport_;
};

class ExpertCommand : public testing::Test {
 protected:
  int run(const std::string& args) {
    CLI::App app;
    CommandResult result;
    add_expert_command(app, interrupt_, result);
    app.parse("expert " + args + " --join " + host.at());
    return result.exit_code;
  }
  FakeHost host;

 private:
  Interrupt interrupt_ = false;
};

// It waited for 10 s, and no copy of 4.7 MB ever came over a line of 2 Mbit/s.
TEST_F(ExpertCommand, WaitsForCopiesAsLongAsTheyTake) {
  EXPECT_EQ(run("add --from busiest"), kExitDone);
  EXPECT_GT(host.seconds, 600);
  EXPECT_EQ(run("add --from busiest --wait 40"), kExitDone);
  EXPECT_LE(host.seconds, 40);
  EXPECT_EQ(run("add"), kExitDone);
  EXPECT_LE(host.seconds, 10);
}

TEST_F(ExpertCommand, EndsAsBadFlagsDoWhereThereIsNoSuchLayer) {
  host.answer = absl::InvalidArgumentError("expected a layer from 0 to 3");
  EXPECT_EQ(run("add --layer 7"), kExitBadInput);
  EXPECT_EQ(host.asked, 1);
}

// It added one from first weights.
TEST_F(ExpertCommand, DoesNotPassOverTheExpertToCopy) {
  EXPECT_EQ(run("add --layer 2 --expert 7"), kExitBadInput);
  EXPECT_EQ(host.asked, 0);
  EXPECT_EQ(run("add --layer 2 --expert 7 --from given"), kExitDone);
}

}  // namespace
}  // namespace agora::cli
