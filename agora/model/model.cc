#include "agora/model/model.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace agora::model {
namespace {

struct Layout {
  std::vector<kernels::AttentionSequence> sequences;
  std::vector<int32_t> positions;

  nn::AttentionBatch view() const { return {sequences, positions}; }
};

Layout whole_sequences(const Batch& batch) {
  Layout layout;
  for (int64_t b = 0; b < batch.batch; ++b) {
    const int64_t begin = b * batch.length;
    layout.sequences.push_back(
        {.query_begin = begin, .queries = batch.length, .key_begin = begin, .keys = batch.length});
    for (int64_t i = 0; i < batch.length; ++i) layout.positions.push_back(static_cast<int32_t>(i));
  }
  return layout;
}

Status check_length(const ModelConfig& config, int64_t length) {
  if (length <= config.max_position_embeddings) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat("the model takes sequences of up to ",
                                            config.max_position_embeddings,
                                            " rows (max_position_embeddings), found ", length));
}

Status check_room(const ModelConfig& config, const SequenceStep& step) {
  const auto count = static_cast<int64_t>(step.tokens.size());
  const SequenceCache& cache = *step.cache;
  AGORA_CHECK(count > 0 && (step.logits.empty() || std::ssize(step.logits) == config.vocab_size));
  if (cache.filled + count > cache.capacity) {
    return absl::OutOfRangeError(absl::StrCat("the sequence is full: room for ", cache.capacity, " tokens, ",
                                              cache.filled, " are there and ", count, " came"));
  }
  return check_length(config, cache.filled + count);
}

}  // namespace

// Takes spare scratch, or makes it, and brings it back.
class Model::BorrowedScratch {
 public:
  explicit BorrowedScratch(std::vector<std::unique_ptr<InferScratch>>& spare) : spare_(spare) {
    if (spare_.empty()) {
      scratch_ = std::make_unique<InferScratch>();
    } else {
      scratch_ = std::move(spare_.back());
      spare_.pop_back();
    }
  }
  ~BorrowedScratch() { spare_.push_back(std::move(scratch_)); }
  BorrowedScratch(const BorrowedScratch&) = delete;
  BorrowedScratch& operator=(const BorrowedScratch&) = delete;

  InferScratch* operator->() const { return scratch_.get(); }
  InferScratch& operator*() const { return *scratch_; }

 private:
  std::vector<std::unique_ptr<InferScratch>>& spare_;
  std::unique_ptr<InferScratch> scratch_;
};

int64_t SequenceCache::bytes(const ModelConfig& config, int64_t rows) {
  const int64_t width = config.num_key_value_heads * config.head_dim;
  return 2 * config.num_hidden_layers * rows * width * static_cast<int64_t>(sizeof(float));
}

SequenceCache::SequenceCache(const ModelConfig& config, int64_t rows) : capacity(rows) {
  const int64_t width = config.num_key_value_heads * config.head_dim;
  for (int64_t l = 0; l < config.num_hidden_layers; ++l) {
    k.emplace_back(rows, width, Purpose::activation);
    v.emplace_back(rows, width, Purpose::activation);
  }
}

StatusOr<std::unique_ptr<Model>> Model::create(const ModelConfig& config, moe::Experts& experts,
                                               Train train) {
  AGORA_RETURN_IF_ERROR(validate(config));
  std::unique_ptr<Model> model(new Model(config, train));
  for (int64_t l = 0; l < config.num_hidden_layers; ++l) {
    AGORA_ASSIGN_OR_RETURN(auto block, Block::create(config, LayerId{l}, experts, train));
    model->blocks_.push_back(std::move(block));
  }
  return model;
}

Model::Model(const ModelConfig& config, Train train)
    : config_(config),
      frontend_(make_frontend(config, train)),
      norm_("model.norm", config.hidden_size, config.rms_norm_eps, train),
      head_(make_head(config, frontend_->table(), train)) {}

void Model::initialise(const Rng& rng) {
  frontend_->initialise(rng, config_.initializer_range);
  for (const auto& block : blocks_)
    block->initialise(rng, config_.initializer_range, config_.residual_deviation());
  head_->initialise(rng, config_.initializer_range);
}

void Model::repack(const Compute& compute) {
  frontend_->repack(compute);
  for (const auto& block : blocks_) block->repack(compute);
  head_->repack(compute);
}

std::vector<tensor::Parameter*> Model::parameters() {
  std::vector<tensor::Parameter*> all;
  frontend_->append_parameters(all);
  for (const auto& block : blocks_) block->append_parameters(all);
  norm_.append_parameters(all);
  head_->append_parameters(all);
  return all;
}

std::vector<tensor::Parameter*> Model::selection_biases() {
  std::vector<tensor::Parameter*> all;
  for (const auto& block : blocks_) {
    moe::Gate& gate = block->mixture().gate();
    if (gate.selection_bias() != nullptr) all.push_back(gate.selection_bias());
    if (gate.entry_bias() != nullptr) all.push_back(gate.entry_bias());
  }
  return all;
}

void Model::use_experts(moe::Experts& experts) {
  for (const auto& block : blocks_) block->mixture().use_experts(experts);
}

StatusOr<nn::LossSum> Model::learn(const Pass& pass, const Batch& batch, float scale, Tape& tape) {
  Status status = forward(pass, batch, tape);
  nn::LossSum loss;
  if (status.ok()) {
    const View<float> dx = tape.dx.shape(batch.rows(), config_.hidden_size);
    loss = head_->loss(pass.compute, batch, tape.rows.view(), scale, {}, dx);
    status = backward(pass, batch, tape);
  }
  if (status.ok()) return loss;
  release_tickets(tape);
  return status;
}

void Model::release_tickets(Tape& tape) {
  for (size_t l = 0; l < tape.blocks.size(); ++l) {
    moe::MoeSaved& saved = tape.blocks[l].mixture;
    if (saved.ticket != moe::Ticket{}) blocks_[l]->mixture().release(saved);
  }
}

Status Model::forward(const Pass& pass, const Batch& batch, Tape& tape) {
  AGORA_RETURN_IF_ERROR(check_length(config_, batch.length));
  const Layout layout = whole_sequences(batch);
  const View<float> x = tape.x.shape(batch.rows(), config_.hidden_size);
  AGORA_RETURN_IF_ERROR(frontend_->forward(pass.compute, batch, x));
  if (tape.blocks.empty()) tape.blocks = std::vector<BlockTape>(blocks_.size());
  tape.stats.clear();
  for (size_t l = 0; l < blocks_.size(); ++l) {
    AGORA_ASSIGN_OR_RETURN(auto stats,
                           blocks_[l]->forward(pass, layout.view(), x, tape.blocks[l], tape.scratch));
    tape.stats.push_back(std::move(stats));
  }
  tape.inverse.resize(static_cast<size_t>(batch.rows()));
  norm_.forward(pass.compute, x, tape.rows.shape(batch.rows(), config_.hidden_size), tape.inverse);
  return absl::OkStatus();
}

Status Model::backward(const Pass& pass, const Batch& batch, Tape& tape) {
  const Layout layout = whole_sequences(batch);
  const View<float> dx = tape.dx.view();
  norm_.backward(pass.compute, tape.x.view(), tape.inverse, dx, dx, nn::Write::replace);
  for (size_t l = blocks_.size(); l-- > 0;) {
    AGORA_RETURN_IF_ERROR(blocks_[l]->backward(pass, layout.view(), tape.blocks[l], dx, tape.scratch));
  }
  frontend_->backward(pass.compute, batch, dx);
  return absl::OkStatus();
}

Status Model::infer(const Pass& pass, const Batch& batch, InferScratch& scratch, View<float> x) {
  AGORA_RETURN_IF_ERROR(check_length(config_, batch.length));
  const Layout layout = whole_sequences(batch);
  AGORA_RETURN_IF_ERROR(frontend_->forward(pass.compute, batch, x));
  for (const auto& block : blocks_) {
    AGORA_RETURN_IF_ERROR(block->infer(pass, layout.view(), {}, x, scratch.mixture, scratch.block));
  }
  norm_.forward(pass.compute, x, x, {});
  return absl::OkStatus();
}

StatusOr<nn::LossSum> Model::evaluate(const Pass& pass, const Batch& batch, std::span<float> answer_loss,
                                      std::span<int32_t> best) {
  const BorrowedScratch scratch(spare_);
  const View<float> rows = scratch->x.shape(batch.rows(), config_.hidden_size);
  AGORA_RETURN_IF_ERROR(infer(pass, batch, *scratch, rows));
  const nn::LossSum loss = head_->loss(pass.compute, batch, rows, 0.0f, answer_loss, {});
  if (best.empty()) return loss;
  Buffer<float> logits(head_->answers(batch), config_.vocab_size, Purpose::scratch);
  head_->logits(pass.compute, batch, rows, logits.view());
  for (size_t i = 0; i < best.size(); ++i) {
    const auto scores = logits.view().row_span(static_cast<int64_t>(i));
    best[i] = static_cast<int32_t>(std::ranges::max_element(scores) - scores.begin());
  }
  return loss;
}

Status Model::extend(const Pass& pass, std::span<const SequenceStep> steps) {
  Batch batch{.batch = 1};
  Layout layout;
  for (const SequenceStep& step : steps) {
    AGORA_RETURN_IF_ERROR(check_room(config_, step));
    const auto count = static_cast<int64_t>(step.tokens.size());
    const int64_t filled = step.cache->filled;
    layout.sequences.push_back(
        {.query_begin = batch.length, .queries = count, .key_begin = 0, .keys = filled + count});
    for (int64_t i = 0; i < count; ++i) layout.positions.push_back(static_cast<int32_t>(filled + i));
    batch.tokens.insert(batch.tokens.end(), step.tokens.begin(), step.tokens.end());
    batch.length += count;
  }
  const BorrowedScratch scratch(spare_);
  const View<float> x = scratch->x.shape(batch.length, config_.hidden_size);
  AGORA_RETURN_IF_ERROR(frontend_->forward(pass.compute, batch, x));
  std::vector<nn::KeyCache> caches(steps.size());
  for (size_t l = 0; l < blocks_.size(); ++l) {
    for (size_t i = 0; i < steps.size(); ++i) {
      caches[i] = {steps[i].cache->k[l].view(), steps[i].cache->v[l].view()};
    }
    AGORA_RETURN_IF_ERROR(
        blocks_[l]->infer(pass, layout.view(), caches, x, scratch->mixture, scratch->block));
  }
  for (const SequenceStep& step : steps) step.cache->filled += static_cast<int64_t>(step.tokens.size());
  score_last_rows(pass, layout.sequences, steps, x);
  return absl::OkStatus();
}

// Only the rows whose scores are wanted go through the last norm and the head.
void Model::score_last_rows(const Pass& pass, std::span<const kernels::AttentionSequence> sequences,
                            std::span<const SequenceStep> steps, View<const float> x) {
  const auto wanted = std::ranges::count_if(steps, [](const SequenceStep& s) { return !s.logits.empty(); });
  if (wanted == 0) return;
  Buffer<float> rows = Buffer<float>::uninitialised(wanted, x.cols, Purpose::scratch);
  Buffer<float> logits = Buffer<float>::uninitialised(wanted, config_.vocab_size, Purpose::scratch);
  int64_t row = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].logits.empty()) continue;
    const int64_t last = sequences[i].query_begin + sequences[i].queries - 1;
    std::ranges::copy(x.row_span(last), rows.row(row++));
  }
  norm_.forward(pass.compute, rows.view(), rows.view(), {});
  head_->logits(pass.compute, {.batch = 1, .length = wanted}, rows.view(), logits.view());
  row = 0;
  for (const SequenceStep& step : steps) {
    if (!step.logits.empty()) std::ranges::copy(logits.view().row_span(row++), step.logits.begin());
  }
}

}  // namespace agora::model
