#include "agora/train/text_task.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "agora/train/batches.h"
#include "agora/train/text_files.h"
#include "agora/weights/hash.h"

namespace agora::train {
namespace {

constexpr int64_t kTokenizerSampleBytes =
    3'000'000;  // enough for some thousand pieces; more only takes longer

StatusOr<model::TokenizerKind> tokenizer_kind(const std::string& name) {
  if (name == "bpe") return model::TokenizerKind::bpe;
  if (name == "unigram") return model::TokenizerKind::unigram;
  if (name == "char") return model::TokenizerKind::characters;
  if (name == "bytes") return model::TokenizerKind::bytes;
  return absl::InvalidArgumentError(
      absl::StrCat("--tokenizer: expected bpe, unigram, char or bytes, found ", name));
}

StatusOr<Corpus> read_corpus(const TrainOptions& options) {
  const int64_t bytes_max = options.domain_mb_max * 1'000'000;
  TextLimits limits = options.data.empty() ? kMachineLimits : TextLimits();
  if (bytes_max > 0) limits.domain_bytes_max = bytes_max;
  return options.data.empty() ? read_machine_text(limits) : read_text_files(options.data, limits);
}

void update(weights::Sha256& hash, const std::vector<int32_t>& tokens) {
  hash.update({reinterpret_cast<const std::byte*>(tokens.data()), tokens.size() * sizeof(int32_t)});
}

std::string fingerprint_of(const TokenCorpus& tokens) {
  weights::Sha256 hash;
  for (const DomainTokens& domain : tokens.domains) {
    update(hash, domain.train);
    update(hash, domain.validation);
  }
  return weights::to_hex(hash.finish());
}

class TextTask final : public Task {
 public:
  TextTask(const TrainOptions& options, SharedTokenizer tokenizer, Corpus corpus, TokenCorpus tokens)
      : shape_{options.batch, options.sequence},
        tokenizer_(std::move(tokenizer)),
        tokens_(std::move(tokens)),
        notes_(std::move(corpus.notes)),
        fingerprint_(fingerprint_of(tokens_)) {
    for (const DomainTokens& domain : tokens_.domains) {
      domains_.push_back({domain.name, domain.bytes_train, domain.bytes_validation,
                          static_cast<int64_t>(domain.train.size()),
                          static_cast<int64_t>(domain.validation.size())});
    }
  }

  Status start(const TrainOptions& options) {
    AGORA_ASSIGN_OR_RETURN(BatchSampler sampler, BatchSampler::create(tokens_, shape_, data_rng(options)));
    sampler_ = std::make_unique<BatchSampler>(std::move(sampler));
    return absl::OkStatus();
  }

  model::ModelConfig shape(model::ModelConfig config) const override {
    config.frontend = model::FrontendKind::text;
    config.head = model::HeadKind::next_token;
    config.causal = true;
    config.vocab_size = tokenizer_->vocab_size();
    config.max_position_embeddings = shape_.length;
    return config;
  }

  void restart(const TrainOptions& options) override { sampler_->restore(data_rng(options).state()); }
  model::Batch next() override { return sampler_->next(); }
  Rng::State cursor() const override { return sampler_->state(); }
  void restore(Rng::State cursor) override { sampler_->restore(cursor); }

  std::vector<model::Batch> validation(int64_t domain, int64_t rows_max) const override {
    const DomainTokens& source = tokens_.domains[static_cast<size_t>(domain)];
    const int64_t windows = rows_max == 0 ? 0 : std::max<int64_t>(1, rows_max / shape_.length);
    return evaluation_batches(source.validation, static_cast<int32_t>(domain), shape_, windows);
  }

  const std::vector<DomainSummary>& domains() const override { return domains_; }
  const std::vector<std::string>& notes() const override { return notes_; }
  const std::string& fingerprint() const override { return fingerprint_; }
  SharedTokenizer tokenizer() const override { return tokenizer_; }

 private:
  BatchShape shape_;
  SharedTokenizer tokenizer_;
  TokenCorpus tokens_;
  std::vector<std::string> notes_;
  std::string fingerprint_;
  std::vector<DomainSummary> domains_;
  std::unique_ptr<BatchSampler> sampler_;
};

}  // namespace

StatusOr<std::unique_ptr<Task>> make_text_task(const TrainOptions& options, SharedTokenizer tokenizer,
                                               base::ThreadPool& pool) {
  AGORA_RETURN_IF_ERROR(tokenizer_kind(options.tokenizer).status());  // before anything is read
  AGORA_ASSIGN_OR_RETURN(Corpus corpus, read_corpus(options));
  return make_corpus_task(options, std::move(corpus), std::move(tokenizer), pool);
}

StatusOr<std::unique_ptr<Task>> make_corpus_task(const TrainOptions& options, Corpus corpus,
                                                 SharedTokenizer tokenizer, base::ThreadPool& pool) {
  AGORA_ASSIGN_OR_RETURN(const model::TokenizerKind kind, tokenizer_kind(options.tokenizer));
  // Characters are for comparisons with nanoGPT, which makes its vocabulary from all of the text and cuts it
  // exactly.
  const bool characters = kind == model::TokenizerKind::characters;
  std::string sample;
  if (characters) sample = tokenizer_sample(corpus, INT64_MAX);
  split_validation(corpus, {.validation = 0.1, .at = characters ? SplitAt::byte : SplitAt::line});
  if (!characters) sample = tokenizer_sample(corpus, kTokenizerSampleBytes);
  if (tokenizer == nullptr) {
    const model::TokenizerOptions wanted{kind, static_cast<int32_t>(options.vocabulary)};
    AGORA_ASSIGN_OR_RETURN(tokenizer, model::Tokenizer::train(sample, wanted));
  }
  AGORA_ASSIGN_OR_RETURN(TokenCorpus tokens, tokenize(corpus, *tokenizer, pool));
  auto task = std::make_unique<TextTask>(options, std::move(tokenizer), std::move(corpus), std::move(tokens));
  AGORA_RETURN_IF_ERROR(task->start(options));
  return task;
}

}  // namespace agora::train
