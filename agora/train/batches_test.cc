#include "agora/train/batches.h"

#include <numeric>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace agora::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Domain d holds the tokens 1000 d, 1000 d + 1, ...
TokenCorpus tokens_of(const std::vector<size_t>& sizes) {
  TokenCorpus corpus;
  for (size_t d = 0; d < sizes.size(); ++d) {
    DomainTokens& domain = corpus.domains.emplace_back();
    domain.train.resize(sizes[d]);
    std::iota(domain.train.begin(), domain.train.end(), static_cast<int32_t>(1000 * d));
  }
  return corpus;
}

TEST(BatchSampler, TargetsAreTheNextTokensOfOneDomain) {
  const TokenCorpus corpus = tokens_of({40, 3, 100});
  auto sampler = BatchSampler::create(corpus, {.batch = 4, .length = 8}, Rng(1));
  ASSERT_TRUE(sampler.ok()) << sampler.status();
  std::set<int32_t> domains;
  for (int round = 0; round < 50; ++round) {
    const Batch batch = sampler->next();
    ASSERT_EQ(batch.tokens.size(), 32u);
    for (size_t i = 0; i < batch.tokens.size(); ++i) {
      EXPECT_EQ(batch.targets[i], batch.tokens[i] + 1);
      EXPECT_EQ(batch.tokens[i] / 1000, batch.domains[i / 8]);
    }
    domains.insert(batch.domains.begin(), batch.domains.end());
  }
  EXPECT_THAT(domains, ElementsAre(0, 2));  // domain 1 is too short
}

TEST(BatchSampler, GoesOnFromASavedState) {
  const TokenCorpus corpus = tokens_of({500, 300});
  auto small = BatchSampler::create(corpus, {.batch = 2, .length = 16}, Rng(3));
  small->next();
  const Rng::State cursor = small->state();
  const Batch expected = small->next();
  small->next();
  small->restore(cursor);
  EXPECT_EQ(small->next().tokens, expected.tokens);
}

TEST(BatchSampler, EveryPositionIsDrawn) {
  const TokenCorpus corpus = tokens_of({20, 12});
  auto sampler = BatchSampler::create(corpus, {.batch = 8, .length = 8}, Rng(5));
  std::set<int32_t> starts;
  for (int round = 0; round < 100; ++round) {
    const Batch batch = sampler->next();
    for (int64_t b = 0; b < batch.batch; ++b) starts.insert(batch.tokens[static_cast<size_t>(b * 8)]);
  }
  EXPECT_EQ(starts.size(), 12u + 4u);
  EXPECT_EQ(*starts.begin(), 0);
  EXPECT_EQ(*starts.rbegin(), 1003);
}

TEST(BatchSampler, TooLittleTextIsAnError) {
  const TokenCorpus corpus = tokens_of({8, 0});
  const auto sampler = BatchSampler::create(corpus, {.batch = 1, .length = 8}, Rng(1));
  EXPECT_THAT(std::string(sampler.status().message()), HasSubstr("no domain has the 9 tokens"));
}

TEST(EvaluationBatches, PredictEveryTokenOnce) {
  for (const size_t size : {0, 1, 2, 4, 5, 8, 9, 10, 33}) {
    const TokenCorpus corpus = tokens_of({size});
    std::vector<int32_t> predicted;
    for (const Batch& batch : evaluation_batches(corpus.domains[0].train, 7, {.batch = 3, .length = 4}, 0)) {
      EXPECT_LE(batch.batch, 3);
      EXPECT_EQ(batch.domains[0], 7);
      for (size_t i = 0; i < batch.targets.size(); ++i) {
        if (batch.targets[i] == kNoTarget) continue;
        EXPECT_EQ(batch.targets[i], batch.tokens[i] + 1);
        predicted.push_back(batch.targets[i]);
      }
    }
    std::vector<int32_t> all(size > 0 ? size - 1 : 0);
    std::iota(all.begin(), all.end(), 1);
    EXPECT_EQ(predicted, all);
  }
}

TEST(EvaluationBatches, FewWindowsAreSpreadEvenly) {
  const TokenCorpus corpus = tokens_of({401});
  const auto batches = evaluation_batches(corpus.domains[0].train, 0, {.batch = 2, .length = 4}, 4);
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_THAT((std::vector<int32_t>{batches[0].tokens[0], batches[0].tokens[4], batches[1].tokens[0]}),
              ElementsAre(0, 100, 200));
}

}  // namespace
}  // namespace agora::train
