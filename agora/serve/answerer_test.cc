#include "agora/serve/answerer.h"

#include "agora/serve/generate.h"
#include "agora/serve/test_model.h"
#include <gtest/gtest.h>

namespace agora::serve {
namespace {

// Keeps what comes, for whoever waits.
class Keeper final : public Asker {
 public:
  void part(AskPart part) override {
    const base::MutexLock lock(mutex_);
    tokens_.insert(tokens_.end(), part.tokens.begin(), part.tokens.end());
    text_ += part.text;
    changed_.wake_all();
  }
  void done(const Status& status, const AskSummary& summary) override {
    const base::MutexLock lock(mutex_);
    EXPECT_FALSE(done_);
    done_ = true;
    status_ = status;
    summary_ = summary;
    changed_.wake_all();
  }
  bool gone() const override { return gone_.load(); }

  void leave() { gone_.store(true); }
  void wait_for_tokens(size_t count) {
    const base::MutexLock lock(mutex_);
    while (tokens_.size() < count && !done_) changed_.wait(mutex_);
  }
  Status wait() {
    const base::MutexLock lock(mutex_);
    while (!done_) changed_.wait(mutex_);
    return status_;
  }
  // After wait().
  const std::vector<int32_t>& tokens() const ABSL_NO_THREAD_SAFETY_ANALYSIS { return tokens_; }
  const std::string& text() const ABSL_NO_THREAD_SAFETY_ANALYSIS { return text_; }
  const AskSummary& summary() const ABSL_NO_THREAD_SAFETY_ANALYSIS { return summary_; }

 private:
  base::Mutex mutex_;
  base::Condition changed_;
  std::vector<int32_t> tokens_ ABSL_GUARDED_BY(mutex_);
  std::string text_ ABSL_GUARDED_BY(mutex_);
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  Status status_ ABSL_GUARDED_BY(mutex_);
  AskSummary summary_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> gone_{false};
};

class AnswererTest : public ::testing::Test, protected TestModel {
 protected:
  // The same model twice under two versions.
  ServedTrunk trunk(uint64_t version) {
    return {version, std::shared_ptr<model::Model>(model().model.get(), [](model::Model*) {})};
  }
  std::vector<int32_t> alone(const AskRequest& request) {
    const auto generation =
        *Generation::start(*model().model, pass(), *model().tokenizer->encode(request.prompt),
                           request.sampler, request.tokens_max);
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < request.tokens_max; ++i) tokens.push_back(*generation->next());
    return tokens;
  }
  static AskRequest request(uint64_t seed, int64_t tokens) {
    return {.prompt = std::string(seed * 7 % 30 + 1, static_cast<char>('a' + seed)),
            .tokens_max = tokens,
            .sampler = {.temperature = 1, .seed = seed}};
  }
  std::shared_ptr<Keeper> ask(Answerer& answerer, AskRequest request, int64_t deadline_ns = INT64_MAX) {
    auto keeper = std::make_shared<Keeper>();
    answerer.ask({.request = std::move(request), .deadline_ns = deadline_ns, .trace = 5}, keeper);
    return keeper;
  }

  RealClock clock_;
  const BatcherLimits limits_{.sessions_max = 4, .waiting_max = 16, .rows_max = 8, .rows_of_prompts_max = 8};
};

// What makes continuous batching safe to use: nobody's answer tells who else asked.
TEST_F(AnswererTest, AnswersAreBitwiseThoseOfOneByOne) {
  std::vector<AskRequest> requests;
  std::vector<std::vector<int32_t>> expected;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    requests.push_back(request(seed, static_cast<int64_t>(seed * 5 % 17 + 20)));  // past the model's 24 rows
    expected.push_back(alone(requests.back()));
  }
  Answerer answerer(compute(), clock_, *model().tokenizer, limits_);
  answerer.use_trunk(trunk(3));
  std::vector<std::shared_ptr<Keeper>> keepers;
  for (const AskRequest& request : requests) keepers.push_back(ask(answerer, request));
  for (size_t i = 0; i < keepers.size(); ++i) {
    ASSERT_TRUE(keepers[i]->wait().ok()) << keepers[i]->wait();
    EXPECT_EQ(keepers[i]->tokens(), expected[i]);
    const AskSummary& summary = keepers[i]->summary();
    EXPECT_EQ(summary.answer_tokens, requests[i].tokens_max);
    EXPECT_EQ(summary.prompt_tokens, std::ssize(requests[i].prompt));
    EXPECT_EQ(summary.trunk_version, 3u);
    EXPECT_EQ(summary.request, 5u);
    EXPECT_GT(summary.gate_mass, 0);
    EXPECT_EQ(summary.gate_mass_lost, 0);
    EXPECT_EQ(summary.finish, Finish::length);
  }
  EXPECT_LT(answerer.counters().steps, answerer.counters().rows);
}

TEST_F(AnswererTest, GoesOnInTheMiddleOfAnAnswer) {
  const AskRequest whole = request(4, 40);
  Answerer answerer(compute(), clock_, *model().tokenizer, limits_);
  answerer.use_trunk(trunk(1));
  const auto first = ask(answerer, whole);
  ASSERT_TRUE(first->wait().ok());
  AskRequest rest = whole;
  rest.answered.assign(first->tokens().begin(), first->tokens().begin() + 25);
  const auto second = ask(answerer, rest);
  ASSERT_TRUE(second->wait().ok());
  EXPECT_EQ(second->tokens(), std::vector(first->tokens().begin() + 25, first->tokens().end()));
  EXPECT_TRUE(first->text().ends_with(second->text()));
  EXPECT_EQ(second->summary().answer_tokens, 15);
}

TEST_F(AnswererTest, EndsAtStopTexts) {
  AskRequest asked = request(2, 30);
  Answerer answerer(compute(), clock_, *model().tokenizer, limits_);
  answerer.use_trunk(trunk(1));
  const auto whole = ask(answerer, asked);
  ASSERT_TRUE(whole->wait().ok());
  asked.stops = {whole->text().substr(10, 3)};
  const auto stopped = ask(answerer, asked);
  ASSERT_TRUE(stopped->wait().ok());
  EXPECT_EQ(stopped->summary().finish, Finish::stop);
  EXPECT_EQ(stopped->text(), whole->text().substr(0, whole->text().find(asked.stops[0])));
}

TEST_F(AnswererTest, DeadlinesAndAbandonedQuestionsEndSessions) {
  Answerer answerer(compute(), clock_, *model().tokenizer, limits_);
  answerer.use_trunk(trunk(1));
  const auto late = ask(answerer, request(1, 10), clock_.now_ns() - 1);
  EXPECT_EQ(late->wait().code(), absl::StatusCode::kDeadlineExceeded);
  const auto left = ask(answerer, request(2, kAnswerTokensMax));
  left->wait_for_tokens(5);
  left->leave();
  EXPECT_EQ(left->wait().code(), absl::StatusCode::kCancelled);
  EXPECT_GE(left->summary().answer_tokens, 5);
}

TEST_F(AnswererTest, RefusesWhatDoesNotFit) {
  Answerer answerer(compute(), clock_, *model().tokenizer,
                    {.sessions_max = 1, .waiting_max = 1, .rows_max = 1, .rows_of_prompts_max = 8});
  EXPECT_EQ(ask(answerer, request(1, 5))->wait().code(), absl::StatusCode::kUnavailable);  // no trunk
  answerer.use_trunk(trunk(1));
  EXPECT_EQ(ask(answerer, {.prompt = "x", .tokens_max = 0})->wait().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ask(answerer, {.prompt = "x", .answered = {1000}})->wait().code(),
            absl::StatusCode::kInvalidArgument);
  std::vector<std::shared_ptr<Keeper>> keepers;
  for (int i = 0; i < 4; ++i) keepers.push_back(ask(answerer, request(1, kAnswerTokensMax)));
  keepers[0]->wait_for_tokens(3);
  EXPECT_EQ(ask(answerer, request(1, kAnswerTokensMax))->wait().code(), absl::StatusCode::kResourceExhausted);
  for (const auto& keeper : keepers) keeper->leave();
  for (const auto& keeper : keepers) EXPECT_FALSE(keeper->wait().ok());
}

TEST_F(AnswererTest, TheEndEndsAll) {
  auto answerer = std::make_unique<Answerer>(compute(), clock_, *model().tokenizer, limits_);
  answerer->use_trunk(trunk(1));
  const auto active = ask(*answerer, request(1, kAnswerTokensMax));
  active->wait_for_tokens(1);
  answerer.reset();
  EXPECT_EQ(active->wait().code(), absl::StatusCode::kUnavailable);
}

TEST_F(AnswererTest, AnAnswerKeepsItsTrunk) {
  Answerer answerer(compute(), clock_, *model().tokenizer, limits_);
  answerer.use_trunk(trunk(1));
  const auto before = ask(answerer, request(1, 300));
  before->wait_for_tokens(1);
  answerer.use_trunk(trunk(2));
  const auto after = ask(answerer, request(1, 5));
  ASSERT_TRUE(after->wait().ok());
  ASSERT_TRUE(before->wait().ok());
  EXPECT_EQ(before->summary().trunk_version, 1u);
  EXPECT_EQ(after->summary().trunk_version, 2u);
}

}  // namespace
}  // namespace agora::serve
