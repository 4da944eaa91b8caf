#include "agora/swarm/host/expert_store.h"

#include <algorithm>
#include <map>

#include "agora/swarm/host/expert_overhead.h"
#include "agora/swarm/host/test_swarm.h"
#include <gmock/gmock.h>
#include <rapidcheck/gtest.h>

namespace agora::swarm {
namespace {

using Kind = UpdateOutcome::Kind;

std::unique_ptr<ExpertStore> leading_store(const moe::TestCompute& machine, const SwarmSpec& spec,
                                           const LedgerLimits& limits = {}) {
  auto store = make_store(machine, spec, limits);
  for (int64_t e = 0; e < spec.experts; ++e) {
    store->adopt(expert_name(0, e));
    store->set_role(expert_name(0, e), Role::leader, 1);
  }
  return store;
}

std::vector<float> all_numbers(ExpertStore& store) {
  std::vector<float> all;
  for (const Holding& holding : store.holdings()) {
    const std::vector<float> one = numbers_of(store, holding.name);
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

TEST(ExpertStore, StartsAsTheWholeModelDoes) {
  moe::TestCompute machine;
  const SwarmSpec spec = test_spec();
  const auto store = make_store(machine, spec);
  store->adopt(expert_name(1, 5));
  auto whole = moe::LocalExperts::create(machine.compute, {.layers = 2, .experts = 8, .shape = spec.shape});
  (*whole)->initialise(Rng(spec.seed).fork("weights"));
  const auto ours = store->experts().expert(LayerId{1}, ExpertId{5}).parameters();
  const auto theirs = (*whole)->expert(LayerId{1}, ExpertId{5}).parameters();
  for (size_t i = 0; i < ours.size(); ++i) {
    EXPECT_TRUE(std::ranges::equal(ours[i].value.flat(), theirs[i].value.flat()));
  }
}

TEST(ExpertStore, SynchronousStepsAreThoseOfOneProcess) {
  moe::TestCompute machine;
  const SwarmSpec spec = test_spec(UpdateMode::synchronous);
  const auto store = leading_store(machine, spec);
  auto whole = moe::LocalExperts::create(machine.compute, {.layers = 2, .experts = 10, .shape = spec.shape});
  (*whole)->initialise(first_weights(spec));
  for (uint64_t step = 1; step <= 3; ++step) {
    TestCall a(step), b(step);
    ASSERT_EQ(a.train(*store, update_key(step))->kind, Kind::applied);
    const auto mixed =
        (*whole)->mix(LayerId{0}, b.x.view(), b.route, moe::Keep::for_backward, moe::kNoDeadline, b.y.view());
    ASSERT_TRUE(
        (*whole)->mix_backward(mixed->ticket, b.dy.view(), moe::kNoDeadline, b.dx.view(), b.dweights).ok());
    EXPECT_TRUE(std::ranges::equal(a.dx.flat(), b.dx.flat()));
    const moe::StepSettings settings{.step = static_cast<int64_t>(step)};
    ASSERT_TRUE(store->end_step(update_key(step), settings).ok());
    ASSERT_TRUE(store->end_step(update_key(step), settings).ok());  // sent twice
    ASSERT_TRUE((*whole)->end_step(settings).ok());
    EXPECT_EQ(store->step_what_is_due(int64_t{1} << 60), INT64_MAX);
  }
  const std::span<const float> theirs =
      (*whole)->expert(LayerId{0}, ExpertId{3}).parameters().front().value.flat();
  const std::vector<float> ours = numbers_of(*store, expert_name(0, 3));
  EXPECT_TRUE(std::equal(theirs.begin(), theirs.end(), ours.begin()));
  EXPECT_EQ(store->holdings()[3].version, 3u);
}

TEST(ExpertStore, RepeatedUpdatesMoveNothingAndAnswerTheSame) {
  moe::TestCompute machine;
  for (const size_t answer_bytes : {size_t{0}, size_t{1} << 20}) {
    const auto store = leading_store(machine, test_spec(), {.answer_bytes = answer_bytes});
    const auto once = leading_store(machine, test_spec());
    TestCall call(1), again(1), reference(1);
    ASSERT_EQ(reference.train(*once, update_key(1))->kind, Kind::applied);
    ASSERT_EQ(call.train(*store, update_key(1))->kind, Kind::applied);
    for (int i = 0; i < 3; ++i) {
      ASSERT_EQ(again.train(*store, update_key(1))->kind, Kind::repeated);
      EXPECT_TRUE(std::ranges::equal(again.dx.flat(), call.dx.flat()));
      EXPECT_EQ(again.dweights, call.dweights);
    }
    once->step_what_is_due(0);
    store->step_what_is_due(0);
    EXPECT_EQ(all_numbers(*store), all_numbers(*once));
    EXPECT_EQ(store->counters().repeated, 3u);
    EXPECT_EQ(store->experts().tickets_held(), 0);
  }
}

TEST(ExpertStore, StepsWhenRowsHaveComeOrTimeHasPassed) {
  moe::TestCompute machine;
  SwarmSpec spec = test_spec();
  spec.rows_per_step = 50;
  const auto store = leading_store(machine, spec);
  const auto version = [&] { return store->holdings()[2].version; };
  TestCall call(1, 40, 8, 8);  // 40 rows for each expert
  ASSERT_TRUE(call.train(*store, update_key(1)).ok());
  EXPECT_EQ(store->step_what_is_due(100), 100 + 2'000'000'000);
  EXPECT_EQ(version(), 0u);
  ASSERT_TRUE(call.train(*store, update_key(2)).ok());
  EXPECT_EQ(store->step_what_is_due(200), INT64_MAX);
  EXPECT_EQ(version(), 1u);
  ASSERT_TRUE(call.train(*store, update_key(3)).ok());
  EXPECT_EQ(store->step_what_is_due(300), 300 + 2'000'000'000);
  EXPECT_EQ(store->step_what_is_due(300 + 2'000'000'000), INT64_MAX);
  EXPECT_EQ(version(), 2u);
}

// A step over few rows moves by their share of a full one.
TEST(ExpertStore, FewRowsMoveLittle) {
  moe::TestCompute machine;
  SwarmSpec full = test_spec(), quarter = test_spec();
  full.rows_per_step = 10;
  quarter.rows_per_step = 40;
  full.step.weight_decay = quarter.step.weight_decay = 0;
  full.step.gradient_norm_max = quarter.step.gradient_norm_max = 0;
  const auto moved = [&](const SwarmSpec& spec) {
    const auto store = leading_store(machine, spec);
    const float before = numbers_of(*store, expert_name(0, 0))[0];
    TestCall call(1, 10, 8, 8);
    EXPECT_TRUE(call.train(*store, update_key(1)).ok());
    store->step_what_is_due(0);
    store->step_what_is_due(int64_t{1} << 60);
    return numbers_of(*store, expert_name(0, 0))[0] - before;
  };
  EXPECT_NEAR(moved(quarter) / moved(full), 0.25, 0.01);
}

TEST(ExpertStore, OlderUpdatesCountLessAndTooOldOnesNothing) {
  moe::TestCompute machine;
  SwarmSpec spec = test_spec();
  spec.rows_per_step = 1;
  const auto store = leading_store(machine, spec);
  TestCall old(7, 40, 8, 8), fresh(8, 40, 8, 8);
  const moe::Ticket tickets[] = {old.forward(*store).ticket, old.forward(*store).ticket};
  for (uint64_t step = 1; step <= 4; ++step) {
    ASSERT_TRUE(fresh.train(*store, update_key(step)).ok());
    store->step_what_is_due(0);
  }
  EXPECT_EQ(old.backward(*store, update_key(10), tickets[0])->kind, Kind::applied);  // of age 4
  store->step_what_is_due(0);
  const std::vector<float> before = all_numbers(*store);
  EXPECT_EQ(old.backward(*store, update_key(11), tickets[1])->kind, Kind::too_old);  // of age 5
  EXPECT_EQ(store->step_what_is_due(0), INT64_MAX);
  EXPECT_EQ(all_numbers(*store), before);
  EXPECT_TRUE(std::ranges::any_of(old.dx.flat(), [](float v) { return v != 0; }));
}

TEST(ExpertStore, FollowersAnswerAndTakeNothing) {
  moe::TestCompute machine;
  const auto store = leading_store(machine, test_spec());
  store->set_role(expert_name(0, 4), Role::follower, 2);
  const std::vector<float> before = numbers_of(*store, expert_name(0, 4));
  TestCall call(1);
  EXPECT_EQ(call.train(*store, update_key(1))->kind, Kind::not_leading);
  store->step_what_is_due(0);
  store->step_what_is_due(int64_t{1} << 60);
  EXPECT_EQ(numbers_of(*store, expert_name(0, 4)), before);
  EXPECT_EQ(store->holdings()[4].version, 0u);
  EXPECT_EQ(store->holdings()[3].version, 1u);
}

TEST(ExpertStore, RefusesBeforeItTouches) {
  moe::TestCompute machine;
  SwarmSpec spec = test_spec();
  spec.gradient_norm_limit = 100;
  const auto store = leading_store(machine, spec);
  const std::vector<float> before = all_numbers(*store);
  TestCall call(1);
  for (float& value : call.dy.flat()) value *= 1000;
  EXPECT_EQ(call.train(*store, update_key(1)).status().code(), absl::StatusCode::kInvalidArgument);
  call.dy.flat()[3] = NAN;
  EXPECT_EQ(call.train(*store, update_key(1)).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store->step_what_is_due(int64_t{1} << 60), INT64_MAX);
  EXPECT_EQ(all_numbers(*store), before);
  EXPECT_EQ(store->counters().refused, 2u);
  EXPECT_EQ(call.backward(*store, update_key(1), moe::Ticket{999}).status().code(),
            absl::StatusCode::kNotFound);
  TestCall good(2);
  EXPECT_EQ(good.train(*store, update_key(1))->kind, Kind::applied);  // the key was not used up
}

// An expert's gradients since its last step all go when their sum is not finite: one trainer's rows, or its
// gate's weights, must not bring that about for the others.
TEST(ExpertStore, HugeRowsAndWeightsCostNobodyElsesGradients) {
  moe::TestCompute machine;
  const auto store = leading_store(machine, test_spec());
  TestCall good(1), rows(2), weights(3);
  EXPECT_EQ(good.train(*store, update_key(1))->kind, Kind::applied);
  for (int64_t d = 0; d < kTestWidth; ++d) rows.x.row(7)[d] *= 1e30f;
  for (float& weight : weights.route.weight) weight = 1e36f;
  for (TestCall* bad : {&rows, &weights}) {
    const auto mixed =
        store->mix(LayerId{0}, bad->x.view(), bad->route, moe::Keep::for_backward, bad->y.view());
    EXPECT_EQ(mixed.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(store->mix(LayerId{0}, bad->x.view(), bad->route, moe::Keep::nothing, bad->y.view()).ok());
  }
  EXPECT_EQ(store->counters().refused, 2u);
  store->step_what_is_due(0);
  store->step_what_is_due(int64_t{1} << 60);
  EXPECT_EQ(store->counters().gradients_dropped, 0u);
  EXPECT_EQ(store->counters().steps, 8u);
}

TEST(ExpertStore, FrozenExpertsStepFirstAndThenWait) {
  moe::TestCompute machine;
  const auto store = leading_store(machine, test_spec());
  TestCall call(1);
  ASSERT_TRUE(call.train(*store, update_key(1)).ok());
  EXPECT_TRUE(store->freeze(expert_name(0, 2), true));
  EXPECT_EQ(store->holdings()[2].version, 1u);
  EXPECT_EQ(call.train(*store, update_key(2)).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(store->freeze(expert_name(0, 2), false));
  EXPECT_EQ(call.train(*store, update_key(2))->kind, Kind::applied);

  const auto synchronous = leading_store(machine, test_spec(UpdateMode::synchronous));
  ASSERT_TRUE(call.train(*synchronous, update_key(1)).ok());
  EXPECT_FALSE(synchronous->freeze(expert_name(0, 2), true));
  ASSERT_TRUE(synchronous->end_step(update_key(1), moe::StepSettings{}).ok());
  EXPECT_TRUE(synchronous->freeze(expert_name(0, 2), true));
}

TEST(ExpertStore, AStepThatIsGivenUpMovesNothing) {
  moe::TestCompute machine;
  const auto store = leading_store(machine, test_spec(UpdateMode::synchronous));
  TestCall call(1), next(2);
  ASSERT_TRUE(call.train(*store, update_key(1)).ok());
  ASSERT_TRUE(store->end_step(update_key(1), std::nullopt).ok());
  EXPECT_FALSE(store->experts().touched(LayerId{0}, ExpertId{2}));
  EXPECT_EQ(store->holdings()[2].version, 0u);
  ASSERT_TRUE(next.train(*store, update_key(2)).ok());
  ASSERT_TRUE(store->end_step(update_key(1), std::nullopt).ok());  // sent twice
  EXPECT_TRUE(store->experts().touched(LayerId{0}, ExpertId{2}));
}

TEST(ExpertStore, TakenOverFromASnapshotNothingCountsTwice) {
  moe::TestCompute machine;
  SwarmSpec spec = test_spec();
  spec.rows_per_step = 1;
  const auto first = leading_store(machine, spec), second = make_store(machine, spec);
  TestCall call(1), next(2), next_there(2);
  ASSERT_TRUE(call.train(*first, update_key(1)).ok());
  first->step_what_is_due(0);
  for (int64_t e = 0; e < 8; ++e) {
    const auto bytes = first->snapshot(expert_name(0, e));
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    ASSERT_TRUE(second->restore(expert_name(0, e), *bytes).ok());
    EXPECT_EQ(second->holdings()[e].role, Role::follower);
    EXPECT_EQ(second->holdings()[e].version, 1u);
    second->set_role(expert_name(0, e), Role::leader, 2);
  }
  EXPECT_EQ(all_numbers(*second), all_numbers(*first));
  const std::vector<float> before = all_numbers(*second);
  ASSERT_TRUE(call.train(*second, update_key(1)).ok());  // sent again, to the new leader
  second->step_what_is_due(int64_t{1} << 60);
  EXPECT_EQ(all_numbers(*second), before);
  ASSERT_TRUE(next.train(*first, update_key(2)).ok());
  ASSERT_TRUE(next_there.train(*second, update_key(2)).ok());
  first->step_what_is_due(0);
  second->step_what_is_due(0);
  EXPECT_EQ(all_numbers(*second), all_numbers(*first));
}

// One row for one expert of layer 0.
TestCall call_of(uint64_t seed, int32_t expert) {
  TestCall call(seed, 1, 1, 1);
  call.route.expert = {expert};
  return call;
}

void hand_on(ExpertStore& from, ExpertStore& to, ExpertName name) {
  ASSERT_TRUE(to.restore(name, *from.snapshot(name)).ok());
  to.set_role(name, Role::leader, 2);
}

TEST(ExpertStore, AnExpertRemembersItsOwnUpdatesHoweverBusyTheOthersAre) {
  moe::TestCompute machine;
  const auto first = leading_store(machine, test_spec()), second = make_store(machine, test_spec());
  ASSERT_TRUE(call_of(1, 0).train(*first, update_key(1)).ok());
  for (uint64_t step = 2; step <= 3 * kAppliedLimits.keys_per_trainer; ++step) {
    ASSERT_TRUE(call_of(step, 1).train(*first, update_key(step)).ok());
  }
  hand_on(*first, *second, expert_name(0, 0));
  ASSERT_TRUE(call_of(1, 0).train(*second, update_key(1)).ok());
  EXPECT_FALSE(second->experts().touched(LayerId{0}, ExpertId{0})) << "update 1 was taken again";
}

TEST(ExpertStore, NothingThatAnyOfItsLeadersTookIsTakenAgain) {
  moe::TestCompute machine;
  const auto first = leading_store(machine, test_spec()), second = make_store(machine, test_spec()),
             third = make_store(machine, test_spec());
  constexpr uint64_t kOfTheFirst = 2 * kAppliedLimits.keys_per_trainer, kOfAll = kOfTheFirst + 20;
  for (uint64_t step = 1; step <= kOfTheFirst; ++step) {
    ASSERT_TRUE(call_of(step, 0).train(*first, update_key(step)).ok());
  }
  hand_on(*first, *second, expert_name(0, 0));
  for (uint64_t step = kOfTheFirst + 1; step <= kOfAll; ++step) {
    ASSERT_TRUE(call_of(step, 0).train(*second, update_key(step)).ok());
  }
  hand_on(*second, *third, expert_name(0, 0));
  for (uint64_t step = 1; step <= kOfAll; ++step) {
    ASSERT_TRUE(call_of(step, 0).train(*third, update_key(step)).ok());
    ASSERT_FALSE(third->experts().touched(LayerId{0}, ExpertId{0})) << "update " << step;
  }
}

// Taken over late in a decay, or begun again from the disk, it stepped at the peak rate until the trainers'
// next end of step.
TEST(ExpertStore, GoesOnAtTheRateOfItsSnapshot) {
  moe::TestCompute machine;
  SwarmSpec spec = test_spec();
  spec.rows_per_step = 1;
  const auto first = leading_store(machine, spec), second = make_store(machine, spec);
  moe::StepSettings decayed = spec.step;
  decayed.learning_rate = 0.01f * spec.step.learning_rate;
  ASSERT_TRUE(first->end_step(update_key(1), decayed).ok());
  ASSERT_TRUE(TestCall(1).train(*first, update_key(2)).ok());
  first->step_what_is_due(0);
  for (const Holding& held : first->holdings()) hand_on(*first, *second, held.name);
  for (ExpertStore* store : {first.get(), second.get()}) {
    ASSERT_TRUE(TestCall(2).train(*store, update_key(3)).ok());
    store->step_what_is_due(0);
  }
  EXPECT_EQ(all_numbers(*first), all_numbers(*second));
}

TEST(ExpertStore, RefusesSnapshotsThatAreNone) {
  moe::TestCompute machine;
  const auto store = leading_store(machine, test_spec());
  std::vector<std::byte> bytes = *store->snapshot(expert_name(0, 1));
  const std::vector<float> before = all_numbers(*store);
  EXPECT_EQ(store->restore(expert_name(0, 2), bytes).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(store->restore(expert_name(0, 1), std::span(bytes).first(100)).ok());
  bytes.back() ^= std::byte{1};
  EXPECT_EQ(store->restore(expert_name(0, 1), bytes).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(all_numbers(*store), before);
  EXPECT_EQ(store->restore(expert_name(0, 99), bytes).status().code(), absl::StatusCode::kInvalidArgument);
  SwarmSpec wider = test_spec();
  wider.shape.h = 32;
  const auto other = make_store(machine, wider);
  EXPECT_EQ(other->restore(expert_name(0, 1), *store->snapshot(expert_name(0, 1))).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(other->holdings().empty());
}

TEST(ExpertStore, CopiesWithALittleNoise) {
  moe::TestCompute machine;
  const auto store = leading_store(machine, test_spec());
  const std::vector<std::byte> bytes = *store->snapshot(expert_name(0, 1));
  ASSERT_TRUE(store->copy(expert_name(0, 1), bytes, expert_name(0, 9), 0.01f).ok());
  EXPECT_FALSE(store->copy(expert_name(0, 1), bytes, expert_name(0, 9), 0.01f).ok());
  const std::vector<float> from = numbers_of(*store, expert_name(0, 1)),
                           to = numbers_of(*store, expert_name(0, 9));
  EXPECT_NE(from, to);
  for (size_t i = 0; i < 240; ++i) EXPECT_NEAR(from[i], to[i], 0.03);
}

TEST(ExpertStore, AThousandExpertsCostLittleBeyondTheirNumbers) {
  moe::TestCompute machine(1);
  const auto bytes = bytes_per_expert_overhead(machine.compute, 1000);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  RecordProperty("bytes", static_cast<int>(*bytes));
  EXPECT_LE(*bytes, 1024);
}

// Duplicates, reordering and replays in any mix give what the distinct updates in the order of their first
// arrival give.
RC_GTEST_PROP(ExpertStoreProperty, ExactlyOnce, ()) {
  moe::TestCompute machine(1);
  SwarmSpec spec = test_spec();
  spec.rows_per_step = 1;
  const auto store = leading_store(machine, spec, {.answer_bytes = 6000}),
             once = leading_store(machine, spec);
  const auto sends = *rc::gen::container<std::vector<std::pair<uint64_t, uint32_t>>>(
      rc::gen::pair(rc::gen::inRange<uint64_t>(0, 4), rc::gen::inRange<uint32_t>(0, 3)));
  std::map<std::pair<uint64_t, uint32_t>, int> seen;
  for (const auto& send : sends) {
    const UpdateKey key = update_key(send.first, send.second);
    TestCall call(send.first * 10 + send.second, 6), reference(send.first * 10 + send.second, 6);
    const auto outcome = call.train(*store, key);
    store->step_what_is_due(0);
    RC_ASSERT(outcome.ok());
    RC_ASSERT((outcome->kind == Kind::repeated) == (seen[send]++ > 0));
    if (seen[send] > 1) continue;
    RC_ASSERT(reference.train(*once, key).ok());
    once->step_what_is_due(0);
  }
  RC_ASSERT(all_numbers(*store) == all_numbers(*once));
}

}  // namespace
}  // namespace agora::swarm
