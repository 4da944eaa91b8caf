// Text in domains, split into training and validation, and the same as token ids.
//
//   AGORA_ASSIGN_OR_RETURN(Corpus corpus, read_text_files(dir, limits));      // text_files.h
//   split_validation(corpus, {});
//   AGORA_ASSIGN_OR_RETURN(auto tokenizer, Tokenizer::train(tokenizer_sample(corpus, 3'000'000), options));
//   AGORA_ASSIGN_OR_RETURN(TokenCorpus tokens, tokenize(corpus, *tokenizer, pool));
//
// Values; one writer at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agora/base/result.h"
#include "agora/base/thread_pool.h"
#include "agora/model/tokenizer.h"

namespace agora::train {

struct Document {
  std::string name;  // where it came from, for messages
  std::string text;  // any bytes
};

struct Domain {
  std::string name;
  std::vector<Document> train;
  std::vector<Document> validation;  // empty until split_validation()
  int64_t files = 0;                 // that were read for it
  int64_t bytes_train() const;
  int64_t bytes_validation() const;
};

struct Corpus {
  std::vector<Domain> domains;
  std::vector<std::string> notes;  // one line each: what was skipped or cut, and why
};

enum class SplitAt : uint8_t {
  line,  // after the end of a line, so that no line is in both parts
  byte,  // exactly, but for a character's middle, as nanoGPT splits its text
};

struct Split {
  double validation = 0.1;  // share of each domain's bytes, taken from its end; in [0, 1)
  SplitAt at = SplitAt::line;
};

// Moves the last part of every domain from train to validation. A document that crosses the cut is divided,
// in the middle of a line only where the part would be empty or most of the text otherwise, and never in the
// middle of a character.
void split_validation(Corpus& corpus, const Split& split);

// Up to bytes_max of training text, the same share from every domain, evenly spread over it.
std::string tokenizer_sample(const Corpus& corpus, int64_t bytes_max);

struct DomainTokens {
  std::string name;
  std::vector<int32_t> train;  // documents in order, each followed by eos where the tokenizer has one
  std::vector<int32_t> validation;
  int64_t bytes_train = 0;
  int64_t bytes_validation = 0;  // for bits per byte
};

struct TokenCorpus {
  std::vector<DomainTokens> domains;
  int64_t tokens_train() const;
};

// Tokens of every document; the same for any number of threads.
StatusOr<TokenCorpus> tokenize(const Corpus& corpus, const model::Tokenizer& tokenizer,
                               base::ThreadPool& pool);

}  // namespace agora::train
