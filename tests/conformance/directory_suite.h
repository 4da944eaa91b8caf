// What every directory must do, over any transport and any DHT, in real or virtual time: one suite.
//
//   INSTANTIATE_TEST_SUITE_P(Worlds, DirectorySuite, testing::Values(DirectoryWorldMaker{"mine", make}),
//                            name_of_world);
//
// A world makes transports and DHT nodes, and passes time until a condition holds. The suite puts a switch
// before each of them, so that either way of finding each other can be cut.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agora/base/loop.h"
#include "agora/peers/directory/dht.h"
#include "agora/peers/directory/swarm_directory.h"
#include "agora/peers/identity/identity.h"
#include "agora/peers/transport/transport.h"
#include <gtest/gtest.h>

namespace agora::tests {

class DirectoryWorld {
 public:
  virtual ~DirectoryWorld() = default;
  virtual base::Loop& loop() = 0;
  virtual void on_loop(const std::function<void()>& task) = 0;  // returns when it ran
  // Passes time until the condition, asked on the loop, holds; false: it did not within a generous limit.
  virtual bool wait(const std::function<bool()>& condition) = 0;
  virtual std::unique_ptr<peers::Transport> make_transport(const peers::Identity& identity) = 0;
  // At the endpoint of a transport made before.
  virtual std::unique_ptr<peers::Dht> make_dht(const peers::Endpoint& at) = 0;
};

struct DirectoryWorldMaker {
  std::string name;
  std::function<std::unique_ptr<DirectoryWorld>()> make;
};

inline std::string name_of_world(const testing::TestParamInfo<DirectoryWorldMaker>& info) {
  return info.param.name;
}

class DirectorySuite : public testing::TestWithParam<DirectoryWorldMaker> {};

}  // namespace agora::tests
