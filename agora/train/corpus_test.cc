#include "agora/train/corpus.h"

#include <algorithm>

#include "agora/base/thread_pool.h"
#include "agora/model/sentencepiece_tokenizer.h"
#include "agora/train/test_data.h"
#include "agora/train/text_files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace agora::train {
namespace {

Corpus corpus_of(std::vector<std::string> texts) {
  Corpus corpus;
  Domain domain;
  domain.name = "d";
  for (size_t i = 0; i < texts.size(); ++i)
    domain.train.push_back({"text " + std::to_string(i), std::move(texts[i])});
  corpus.domains.push_back(std::move(domain));
  return corpus;
}

std::string joined(const std::vector<Document>& documents) {
  std::string text;
  for (const Document& document : documents) text += document.text;
  return text;
}

TEST(SplitValidation, CutsAtALineAndLosesNothing) {
  Corpus corpus = corpus_of({"aaaa\nbbbb\n", "cccc\ndddd\n"});
  split_validation(corpus, {.validation = 0.3});
  EXPECT_EQ(joined(corpus.domains[0].train), "aaaa\nbbbb\ncccc\n");
  EXPECT_EQ(joined(corpus.domains[0].validation), "dddd\n");
  EXPECT_EQ(corpus.domains[0].bytes_validation(), 5);
}

TEST(SplitValidation, ALongLastLineIsDividedLestNothingBeLeft) {
  const std::string line(1000, 'x');
  for (const std::string& text : {line + "\n", "head\n" + line + "\n", "head\n" + line}) {
    Corpus corpus = corpus_of({text});
    split_validation(corpus, {});
    EXPECT_NEAR(static_cast<double>(corpus.domains[0].bytes_validation()), 100, 10) << text.substr(0, 5);
  }
  Corpus corpus = corpus_of({std::string(880, 'x') + "\n" + std::string(118, 'y') + "\n"});
  split_validation(corpus, {});
  EXPECT_EQ(corpus.domains[0].bytes_validation(), 119);
}

TEST(SplitValidation, CutsExactlyWhereItIsTold) {
  Corpus corpus = corpus_of({std::string(101, 'x')});
  split_validation(corpus, {.validation = 0.1, .at = SplitAt::byte});
  EXPECT_EQ(corpus.domains[0].bytes_train(), 90);
  EXPECT_EQ(corpus.domains[0].bytes_validation(), 11);
}

// A piece of a character is none that the tokenizer of characters has.
TEST(SplitValidation, NoCharacterIsDivided) {
  std::string text;
  for (int i = 0; i < 7; ++i) text += "\xe6\x97\xa5\xc3\xb6\xf0\x9f\x98\x80";
  for (const SplitAt at : {SplitAt::byte, SplitAt::line}) {
    for (double share = 0.1; share < 0.9; share += 0.01) {
      Corpus corpus = corpus_of({text});
      const auto tokenizer = model::Tokenizer::train(text, {.kind = model::TokenizerKind::characters});
      split_validation(corpus, {.validation = share, .at = at});
      base::ThreadPool pool(1);
      const auto tokens = tokenize(corpus, **tokenizer, pool);
      ASSERT_TRUE(tokens.ok()) << tokens.status();
      EXPECT_NEAR(static_cast<double>(corpus.domains[0].bytes_validation()),
                  share * static_cast<double>(text.size()), 4);
      EXPECT_EQ(tokens->domains[0].train.size() + tokens->domains[0].validation.size(), 21u);
    }
  }
}

// Bytes that are no UTF-8 have no middle.
TEST(SplitValidation, OtherBytesAreCutExactly) {
  for (const std::string& text : {std::string(100, '\xe6'), std::string(100, '\x97')}) {
    Corpus corpus = corpus_of({text});
    split_validation(corpus, {.validation = 0.1, .at = SplitAt::byte});
    EXPECT_EQ(corpus.domains[0].bytes_train(), 90);
  }
}

TEST(SplitValidation, OddTextsDoNotBreakIt) {
  for (const std::string text : {"", "x", "\n", "no line end at all", "\n\n\n\n\n\n\n\n\n\n\n\n"}) {
    for (const double share : {0.0, 0.1, 0.5, 0.99}) {
      Corpus corpus = corpus_of({text, text});
      split_validation(corpus, {.validation = share});
      EXPECT_EQ(joined(corpus.domains[0].train) + joined(corpus.domains[0].validation), text + text);
      EXPECT_TRUE(share > 0 || corpus.domains[0].validation.empty());
    }
  }
}

TEST(TokenizerSample, TakesTheSameShareOfEveryDomainSpreadOverIt) {
  Corpus corpus = corpus_of({std::string(500'000, 'a') + std::string(500'000, 'b')});
  corpus.domains.push_back(corpus_of({std::string(100'000, 'c'), std::string(900'000, 'd')}).domains[0]);
  const std::string sample = tokenizer_sample(corpus, 200'000);
  EXPECT_LE(sample.size(), 210'000u);
  for (const char c : {'a', 'b', 'd'}) EXPECT_GE(std::count(sample.begin(), sample.end(), c), 40'000);
  EXPECT_EQ(tokenizer_sample(corpus, INT64_MAX).size(), 2'000'000u);
  EXPECT_EQ(tokenizer_sample({}, 100), "");
}

TEST(Tokenize, IsTheSameForAnyNumberOfThreadsAndEndsEveryDocument) {
  std::string text;
  while (text.size() < 9'000'000) text += "line " + std::to_string(text.size() % 89) + "\n\n  indented\n";
  Corpus corpus = corpus_of({"short\n", text, ""});
  split_validation(corpus, {});
  const auto tokenizer = model::Tokenizer::train(text.substr(0, 20'000), {.vocabulary = 400});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  base::ThreadPool one(1);
  base::ThreadPool three(3);
  const auto tokens = tokenize(corpus, **tokenizer, one);
  ASSERT_TRUE(tokens.ok());
  EXPECT_EQ(tokenize(corpus, **tokenizer, three)->domains[0].train, tokens->domains[0].train);
  const std::vector<int32_t>& train = tokens->domains[0].train;
  EXPECT_EQ(std::count(train.begin(), train.end(), (*tokenizer)->eos_id()), 2);
  EXPECT_EQ((*tokenizer)->decode(train), joined(corpus.domains[0].train));
  std::vector<int32_t> whole = *(*tokenizer)->encode(corpus.domains[0].train[0].text);
  whole.push_back((*tokenizer)->eos_id());
  const std::vector<int32_t> rest = *(*tokenizer)->encode(corpus.domains[0].train[1].text);
  whole.insert(whole.end(), rest.begin(), rest.end());
  whole.push_back((*tokenizer)->eos_id());
  EXPECT_EQ(train, whole);
}

// Its parts would each begin with the space that the model puts in front of a text.
TEST(Tokenize, ALongDocumentStaysWholeWhereTheModelPutsASpaceInFront) {
  std::string text;
  while (text.size() < 5'000'000) text += "line " + std::to_string(text.size() % 89) + "\n";
  const std::string space_in_front("\x1a\x02\x18\x01", 4);  // normalizer_spec { add_dummy_prefix: true }
  const auto model = model::train_sentencepiece(text.substr(0, 20'000), model::TokenizerKind::bpe, 400);
  const auto tokenizer = model::open_sentencepiece(*model + space_in_front, "tokenizer.model");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  base::ThreadPool pool(2);
  std::vector<int32_t> whole = *(*tokenizer)->encode(text);
  whole.push_back((*tokenizer)->eos_id());
  EXPECT_EQ(tokenize(corpus_of({text}), **tokenizer, pool)->domains[0].train, whole);
}

TEST(Corpus, TinyShakespeareIsSplitAsNanoGptDoes) {
  const std::string path = real_data("text/tinyshakespeare.txt");
  if (path.empty()) GTEST_SKIP() << kNoRealData;
  auto corpus = read_text_files(path, {});
  ASSERT_TRUE(corpus.ok()) << corpus.status();
  const auto tokenizer = model::Tokenizer::train(tokenizer_sample(*corpus, INT64_MAX),
                                                 {.kind = model::TokenizerKind::characters});
  split_validation(*corpus, {.validation = 0.1, .at = SplitAt::byte});
  base::ThreadPool pool(2);
  const auto tokens = tokenize(*corpus, **tokenizer, pool);
  EXPECT_EQ((*tokenizer)->vocab_size(), 65);
  EXPECT_EQ(tokens->domains[0].train.size(), 1003854u);
  EXPECT_EQ(tokens->domains[0].validation.size(), 111540u);
}

}  // namespace
}  // namespace agora::train
