#include "agora/model/head.h"

#include "agora/nn/linear.h"

namespace agora::model {
namespace {

using tensor::Buffer;
using tensor::Purpose;

class NextTokenHead final : public Head {
 public:
  NextTokenHead(const ModelConfig& config, tensor::Parameter* table, Train train)
      : head_(config.tie_word_embeddings
                  ? nn::Head(*table)
                  : nn::Head("lm_head", config.vocab_size, config.hidden_size, train)) {}

  void initialise(const Rng& rng, float deviation) override { head_.initialise(rng, deviation); }
  void repack(const Compute& compute) override { head_.repack(compute); }
  int64_t answers(const Batch& batch) const override { return batch.rows(); }

  LossSum loss(const Compute& compute, const Batch& batch, View<const float> rows, float scale,
               std::span<float> answer_loss, View<float> drows) override {
    return nn::cross_entropy(compute, rows, head_, batch.targets, scale, answer_loss, drows);
  }

  void logits(const Compute& compute, const Batch&, View<const float> rows, View<float> out) const override {
    head_.forward(compute, rows, out);
  }

  void append_parameters(std::vector<tensor::Parameter*>& to) override { head_.append_parameters(to); }

 private:
  nn::Head head_;
};

// The mean of a sequence's rows, then a linear layer.
class ClassHead final : public Head {
 public:
  ClassHead(const ModelConfig& config, Train train)
      : linear_("score", config.vocab_size, config.hidden_size, nn::Bias::no, train) {}

  void initialise(const Rng& rng, float deviation) override { linear_.initialise(rng, deviation); }
  void repack(const Compute& compute) override { linear_.repack(compute); }
  int64_t answers(const Batch& batch) const override { return batch.batch; }

  LossSum loss(const Compute& compute, const Batch& batch, View<const float> rows, float scale,
               std::span<float> answer_loss, View<float> drows) override {
    const Buffer<float> pooled = pool(batch, rows);
    Buffer<float> scores(batch.batch, linear_.outputs(), Purpose::activation);
    linear_.forward(compute, pooled.view(), scores.view());
    const bool gradient = !drows.empty();
    const LossSum sum = nn::softmax_cross_entropy(scores.view(), batch.targets, scale, answer_loss,
                                                  gradient ? scores.view() : View<float>{});
    if (!gradient) return sum;
    Buffer<float> dpooled(batch.batch, rows.cols, Purpose::activation);
    linear_.backward(compute, pooled.view(), scores.view(), dpooled.view());
    spread(batch, dpooled.view(), drows);
    return sum;
  }

  void logits(const Compute& compute, const Batch& batch, View<const float> rows,
              View<float> out) const override {
    const Buffer<float> pooled = pool(batch, rows);
    linear_.forward(compute, pooled.view(), out);
  }

  void append_parameters(std::vector<tensor::Parameter*>& to) override { linear_.append_parameters(to); }

 private:
  static Buffer<float> pool(const Batch& batch, View<const float> rows) {
    Buffer<float> mean(batch.batch, rows.cols, Purpose::activation);
    const float share = 1.0f / static_cast<float>(batch.length);
    for (int64_t t = 0; t < rows.rows; ++t) {
      float* to = mean.row(t / batch.length);
      for (int64_t d = 0; d < rows.cols; ++d) to[d] += share * rows.row(t)[d];
    }
    return mean;
  }

  static void spread(const Batch& batch, View<const float> dpooled, View<float> drows) {
    const float share = 1.0f / static_cast<float>(batch.length);
    for (int64_t t = 0; t < drows.rows; ++t) {
      const float* from = dpooled.row(t / batch.length);
      for (int64_t d = 0; d < drows.cols; ++d) drows.row(t)[d] = share * from[d];
    }
  }

  nn::Linear linear_;
};

}  // namespace

std::unique_ptr<Head> make_head(const ModelConfig& config, tensor::Parameter* table, Train train) {
  if (config.head == HeadKind::classes) return std::make_unique<ClassHead>(config, train);
  return std::make_unique<NextTokenHead>(config, table, train);
}

}  // namespace agora::model
