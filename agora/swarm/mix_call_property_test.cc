#include <algorithm>

#include "agora/swarm/test_mix_call.h"
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace agora::swarm {
namespace {

// A route in which every expert is as likely to be chosen as not.
moe::Route any_route(int tokens, int experts) {
  moe::Route route{.first = {0}, .expert = {}, .weight = {}};
  for (int t = 0; t < tokens; ++t) {
    int32_t runner_up = -1;
    for (int e = 0; e < experts; ++e) {
      if (*rc::gen::inRange(0, 2) == 0) {
        runner_up = e;
        continue;
      }
      route.expert.push_back(e);
      route.weight.push_back(1);
    }
    route.first.push_back(static_cast<int32_t>(route.expert.size()));
    route.runner_up.push_back(runner_up);
  }
  return route;
}

// Any hosts, any answers in any order: the call ends, and what is in the sum is in it once.
RC_GTEST_PROP(MixCallProperty, EveryChoiceIsInTheSumAtMostOnceAndTheCallEnds, ()) {
  const int experts = *rc::gen::inRange(1, 8), hosts = *rc::gen::inRange(1, 6);
  HeldBy placement;
  for (int e = 0; e < experts; ++e) {
    for (int h = 0; h < hosts; ++h) {
      if (*rc::gen::inRange(0, 3) > 0) placement[e].push_back(h);
    }
  }
  const moe::Route route = any_route(*rc::gen::inRange(0, 6), experts);
  Spend budget;
  budget.retries = *rc::gen::inRange(0, 20);
  budget.hedges = *rc::gen::inRange(0, 4);
  MixSettings settings = *rc::gen::arbitrary<bool>() ? kTraining : kInteractive;
  MixCall call(route, settings, candidates_of(placement), budget, Rng(*rc::gen::arbitrary<uint64_t>()));

  std::vector<uint32_t> open;
  int64_t now = 0;
  auto apply = [&](const MixActions& actions) {
    for (const uint32_t cancel : actions.cancels) std::erase(open, cancel);
    for (const MixSend& send : actions.sends) {
      RC_ASSERT(!send.choices.empty());
      RC_ASSERT(std::is_sorted(send.choices.begin(), send.choices.end()));
      open.push_back(send.send);
    }
  };
  apply(call.start(now));
  for (int events = 0; !call.done(); ++events) {
    RC_ASSERT(events < 10'000);
    const int what = open.empty() ? 9 : *rc::gen::inRange(0, 10);
    if (what == 9) {
      now = std::max(now, std::min(call.timer_ns(), now + 60));
      apply(call.on_timer(now));
      continue;
    }
    const size_t which = *rc::gen::inRange<size_t>(0, open.size());
    const uint32_t send = open[which];
    open.erase(open.begin() + static_cast<std::ptrdiff_t>(which));
    std::vector<uint8_t> arrived(call.send(send).choices.size(), 1);
    if (what < 5) {
      if (what < 2) arrived[*rc::gen::inRange<size_t>(0, arrived.size())] = 0;
      apply(call.on_reply(send, arrived, now));
    } else {
      apply(call.on_failure(send,
                            what < 6   ? Failure::broken
                            : what < 7 ? Failure::gone
                                       : Failure::busy,
                            now));
    }
  }
  std::vector<int> in_sum(route.expert.size(), 0);
  int64_t served = 0;
  for (const uint32_t s : call.summands()) {
    const MixSend& send = call.send(s);
    for (size_t i = 0; i < send.choices.size(); ++i) in_sum[send.choices[i]] += call.in_sum(s, i) ? 1 : 0;
  }
  for (size_t i = 0; i < in_sum.size(); ++i) {
    RC_ASSERT(in_sum[i] == call.arrived()[i]);
    served += in_sum[i];
  }
  const MixCall::Served by = call.served();
  RC_ASSERT(by.first + by.replica + by.hedge + by.next_expert == served);
  RC_ASSERT(by.lost + served == static_cast<int64_t>(in_sum.size()));
}

}  // namespace
}  // namespace agora::swarm
