#include "agora/serve/swarm_server.h"

#include <set>
#include <utility>

#include "agora/base/awaited.h"
#include "agora/serve/trace_json.h"
#include "agora/swarm/wire/method.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/serve/server_in_process.h"

namespace agora::tests {
namespace {

serve::AskRequest request(uint64_t seed, int64_t tokens) {
  return {.prompt = "to be or not", .tokens_max = tokens, .sampler = {.temperature = 1, .seed = seed}};
}

// One call, waiting for its reply.
peers::Reply call(peers::Transport& from, const peers::Transport& to, peers::Method method,
                  std::string_view bytes) {
  base::Awaited<peers::Reply> reply;
  from.call({.to = to.self(),
             .at = to.endpoint(),
             .method = method,
             .deadline_ns = RealClock().now_ns() + 20 * base::kSecondNs},
            peers::Payload::copy(base::as_bytes(bytes)),
            [&](peers::Reply came) { reply.bring(std::move(came)); });
  return reply.wait();
}

TEST(SwarmServer, AnswersBitForBitAsOneProcess) {
  ServersInProcess swarm;
  swarm.put_trunk(1);
  swarm.add_known_server(1);
  for (uint64_t seed = 0; seed < 3; ++seed) {
    const auto asked = swarm.ask(request(seed, 40));
    ASSERT_TRUE(asked.status.ok()) << asked.status;
    EXPECT_EQ(asked.text, swarm.alone(request(seed, 40)));
    const serve::AskSummary& summary = asked.answer.summary;
    EXPECT_EQ(summary.answer_tokens, 40);
    EXPECT_EQ(summary.trunk_version, 1u);
    EXPECT_GT(summary.by_replica, 0u);
    EXPECT_EQ(summary.lost, 0u);
    EXPECT_EQ(summary.gate_mass_lost, 0);
  }
}

// Every expert has two holders that are neighbours; hosts 0 and 2 leave one of each.
TEST(SwarmServer, HostsThatAreKilledChangeNoToken) {
  ServersInProcess swarm;
  swarm.put_trunk(1);
  swarm.add_known_server(1);
  const auto asked = swarm.ask(request(5, 60), [&](size_t bytes) {
    if (bytes == 10) swarm.hosts().kill(0);
    if (bytes == 25) swarm.hosts().kill(2);
    if (bytes == 40) swarm.hosts().forget(0);
  });
  ASSERT_TRUE(asked.status.ok()) << asked.status;
  EXPECT_EQ(asked.text, swarm.alone(request(5, 60)));
  EXPECT_EQ(asked.answer.summary.lost, 0u);
}

TEST(SwarmServer, AServerThatIsKilledChangesNoToken) {
  ServersInProcess swarm;
  swarm.put_trunk(1);
  swarm.add_known_server(1);
  swarm.add_known_server(1);
  bool killed = false;
  const auto asked = swarm.ask(request(6, 60), [&](size_t bytes) {
    if (bytes < 20 || killed) return;
    killed = true;
    const auto known = serve::servers_of(swarm.hosts().directory().records());
    swarm.kill_server(known[0].peer == swarm.server_transport(0).self() ? 0 : 1);
  });
  ASSERT_TRUE(asked.status.ok()) << asked.status;
  EXPECT_EQ(asked.text, swarm.alone(request(6, 60)));
  EXPECT_EQ(asked.answer.servers, 2);
  EXPECT_EQ(asked.answer.summary.answer_tokens, 60);
}

// What nobody holds any more is said, and the answer comes all the same.
TEST(SwarmServer, IsWaitedForWhileItStarts) {
  ServersInProcess swarm;
  swarm.put_trunk(1);
  bool started = false;
  serve::AskSettings settings;
  settings.no_server_ns = 60 * base::kSecondNs;
  settings.interrupted = [&] {  // nobody was known when the question was asked first
    if (!std::exchange(started, true)) swarm.add_known_server(1);
    return false;
  };
  const auto asked = swarm.ask(
      request(4, 20), [](size_t) {}, settings);
  EXPECT_TRUE(asked.status.ok()) << asked.status;
  EXPECT_EQ(asked.text, swarm.alone(request(4, 20)));
}

TEST(SwarmServer, IsNotWaitedForForEver) {
  ServersInProcess swarm;
  serve::AskSettings settings;
  settings.no_server_ns = 0;
  const auto asked = swarm.ask(
      request(4, 20), [](size_t) {}, settings);
  EXPECT_EQ(asked.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(asked.status.message(), testing::HasSubstr("start one with agora serve"));
}

TEST(SwarmServer, SaysHowMuchGateMassWasLost) {
  ServersInProcess swarm;
  swarm.put_trunk(1);
  swarm.add_known_server(1);
  for (const size_t host : {0, 1, 2}) {
    swarm.hosts().kill(host);
    swarm.hosts().forget(host);
  }
  const auto asked = swarm.ask(request(1, 10));
  ASSERT_TRUE(asked.status.ok()) << asked.status;
  const serve::AskSummary& summary = asked.answer.summary;
  EXPECT_EQ(summary.answer_tokens, 10);
  EXPECT_GT(summary.gate_mass_lost, 0);
  EXPECT_LT(summary.gate_mass_lost, summary.gate_mass);
  EXPECT_GT(summary.lost, 0u);
}

TEST(SwarmServer, ANewTrunkIsForThoseWhoAskAfterIt) {
  ServersInProcess swarm;
  swarm.put_trunk(1);
  serve::SwarmServer& server = swarm.add_known_server(1);
  const std::string before = swarm.alone(request(3, 50));
  bool replaced = false;
  const auto asked = swarm.ask(request(3, 50), [&](size_t bytes) {
    if (bytes < 5 || replaced) return;
    replaced = true;
    for (tensor::Parameter* p : swarm.model().model->parameters()) {
      for (float& value : p->value.flat()) value *= 0.9f;
    }
    swarm.put_trunk(2);
    swarm.wait_for_trunk(server, 2);
  });
  EXPECT_EQ(asked.text, before);
  EXPECT_EQ(asked.answer.summary.trunk_version, 1u);
  swarm.model().repack(swarm.compute());
  const auto after = swarm.ask(request(3, 50));
  EXPECT_EQ(after.text, swarm.alone(request(3, 50)));
  EXPECT_EQ(after.answer.summary.trunk_version, 2u);
  EXPECT_NE(after.text, before);
}

// What the trainer learned is not lost with it.
TEST(SwarmServer, HandsItsTrunkOnWhenEveryTrainerHasGone) {
  ServersInProcess swarm;
  swarm.put_trunk(3);
  swarm.add_known_server(3);
  swarm.kill_trainer();
  const auto sources = swarm::trunk_sources(swarm.hosts().directory().records());
  ASSERT_EQ(sources.size(), 1u);
  EXPECT_EQ(sources[0].peer, swarm.server_transport(0).self());
  const swarm::TrunkLayout layout(swarm.model().model->parameters(), swarm.model().model->selection_biases());
  const auto trunk = swarm::fetch_trunk_now(swarm.client(), sources, swarm::TrunkPart::values_with_momentum,
                                            layout.size(), swarm.hosts().loop());
  ASSERT_TRUE(trunk.ok()) << trunk.status();
  EXPECT_EQ(trunk->version.round, 3u);
  EXPECT_EQ(trunk->values, layout.values());
  EXPECT_EQ(swarm.add_known_server(3).counters().trunks.refused, 0u);
}

// No trainer hands out another trunk.
TEST(SwarmServer, WhatIsRetiredIsClosedInTheTrunkThatThereIs) {
  ServersInProcess swarm;
  swarm.put_trunk(1);
  swarm.add_known_server(1);
  const auto chosen = [&] {
    const peers::Reply reply = call(swarm.client(), swarm.server_transport(0), swarm::kExplain, "why not?");
    EXPECT_TRUE(reply.status.ok()) << reply.status;
    const auto json = nlohmann::json::parse(base::as_text(reply.payload.bytes()));
    std::set<int32_t> experts;
    const auto trace = serve::read_trace_json(json["text"]);
    for (const auto& token : *trace) {
      for (const auto& choice : token.layers[0].choices) experts.insert(choice.expert.value);
    }
    return experts;
  };
  const int32_t gone = *chosen().begin();
  const auto elsewhere = swarm.hosts().make_transport();
  swarm.hosts().directory().say(elsewhere->self(), elsewhere->endpoint(),
                                {.host = true, .retired = {{LayerId{0}, gone, 1}}});
  const int64_t limit_ns = RealClock().now_ns() + 20 * base::kSecondNs;
  while (chosen().contains(gone) && RealClock().now_ns() < limit_ns) {
  }
  EXPECT_FALSE(chosen().contains(gone));
  const auto asked = swarm.ask(request(1, 20));
  ASSERT_TRUE(asked.status.ok()) << asked.status;
  EXPECT_EQ(asked.answer.summary.lost, 0u);
  elsewhere->stop();
}

TEST(SwarmServer, ExplainsWhoServedWhat) {
  ServersInProcess swarm;
  swarm.put_trunk(4);
  swarm.add_known_server(4);
  const peers::Reply reply = call(swarm.client(), swarm.server_transport(0), swarm::kExplain, "why?");
  ASSERT_TRUE(reply.status.ok()) << reply.status;
  const auto json = nlohmann::json::parse(base::as_text(reply.payload.bytes()));
  EXPECT_EQ(json["trunk_version"], 4);
  const auto trace = serve::read_trace_json(json["text"]);
  ASSERT_TRUE(trace.ok()) << trace.status();
  const auto local =
      *model::trace_text(*swarm.model().model, *swarm.model().tokenizer, swarm.compute(), "why?");
  ASSERT_EQ(trace->size(), local.size());
  for (size_t t = 0; t < local.size(); ++t) {
    for (size_t l = 0; l < local[t].layers.size(); ++l) {
      const auto& choices = (*trace)[t].layers[l].choices;
      ASSERT_EQ(choices.size(), local[t].layers[l].choices.size());
      for (size_t i = 0; i < choices.size(); ++i) {
        EXPECT_EQ(choices[i].expert, local[t].layers[l].choices[i].expert);
        EXPECT_EQ(choices[i].weight, local[t].layers[l].choices[i].weight);
        ASSERT_TRUE(choices[i].served.has_value());
        EXPECT_EQ(choices[i].served->how, "replica");
        EXPECT_EQ(choices[i].served->host.size(), 64u);
      }
    }
  }
  EXPECT_EQ(call(swarm.client(), swarm.server_transport(0), swarm::kExplain, "").status.code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(SwarmServer, BadRequestsAreAnsweredAndCounted) {
  ServersInProcess swarm;
  serve::SwarmServer& server = swarm.add_server();
  const peers::Transport& at = swarm.server_transport(0);
  for (const std::string& bytes : {std::string(), std::string("nonsense"), std::string(100'000, '\xff')}) {
    EXPECT_EQ(call(swarm.client(), at, swarm::kAsk, bytes).status.code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(server.counters().malformed, 3u);
  const auto whole = encode(request(1, 5));
  EXPECT_EQ(call(swarm.client(), at, swarm::kAsk, base::as_text(whole.bytes())).status.code(),
            absl::StatusCode::kUnavailable);  // no trunk yet
  EXPECT_EQ(call(swarm.client(), at, swarm::kExplain, "x").status.code(), absl::StatusCode::kUnavailable);
}

// A trainer that hands out nonsense stops nobody: the next one is asked.
TEST(SwarmServer, TakesNoTrunkOfAnotherModel) {
  ServersInProcess swarm;
  const auto liar = swarm.hosts().make_transport();
  swarm::TrunkShelf shelf(swarm.hosts().loop());
  shelf.serve(*liar);
  swarm::TrunkSnapshot snapshot;
  snapshot.version.round = 9;
  snapshot.values = {1, 2, 3};
  shelf.put(std::move(snapshot));
  swarm.hosts().directory().say(liar->self(), liar->endpoint(), {.trainer = true, .trunk_version = 9});
  swarm.put_trunk(2);
  serve::SwarmServer& server = swarm.add_server();
  swarm.wait_for_trunk(server, 2);
  EXPECT_EQ(server.counters().trunks.version, 2u);
  EXPECT_GT(server.counters().trunks.refused, 0u);
  liar->stop();
}

}  // namespace
}  // namespace agora::tests
