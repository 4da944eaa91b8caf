#include "apps/cli/swarm/node.h"

#include "agora/base/test_folder.h"
#include "agora/train/counting_text.h"
#include <gtest/gtest.h>

#include "apps/cli/swarm/swarm_recipe.h"

namespace agora::cli {
namespace {

TEST(Node, SaysWhichSwarmItIsIn) {
  const base::TestFolder folder;
  const train::CountingText text;
  base::ThreadPool pool(1);
  train::TrainOptions options;
  options.data = text.file();
  options.tokenizer = "bytes";
  options.name = "words";
  const std::unique_ptr<train::Task> task = train::make_task(options, nullptr, pool).value();
  const swarm::SwarmSpec spec = make_spec(options, {}, *task).value();
  ASSERT_TRUE(write_spec(spec, folder.path("spec")).ok());

  NodeFlags flags;
  flags.listen = "127.0.0.1:0";
  flags.state = folder.path("state");
  flags.spec = folder.path("spec");
  flags.http = "off";
  const Interrupt interrupt{false};
  const auto node = Node::open(flags, interrupt);
  ASSERT_TRUE(node.ok()) << node.status();
  ASSERT_TRUE((*node)->begin().ok());
  EXPECT_EQ((*node)->status().swarm, "words");
  EXPECT_EQ((*node)->status().swarm_id, spec.id().text());
}

}  // namespace
}  // namespace agora::cli
