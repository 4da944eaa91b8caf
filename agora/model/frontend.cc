#include "agora/model/frontend.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace agora::model {
namespace {

class TextFrontend final : public Frontend {
 public:
  TextFrontend(const ModelConfig& config, Train train)
      : embedding_("model.embed_tokens", config.vocab_size, config.hidden_size, train) {}

  void initialise(const Rng& rng, float deviation) override { embedding_.initialise(rng, deviation); }
  void repack(const Compute&) override {}

  Status forward(const Compute& compute, const Batch& batch, View<float> x) const override {
    if (static_cast<int64_t>(batch.tokens.size()) != batch.rows()) {
      return absl::InvalidArgumentError(
          absl::StrCat("text input: expected ", batch.rows(), " tokens, found ", batch.tokens.size()));
    }
    for (const int32_t token : batch.tokens) {
      if (token >= 0 && token < embedding_.vocabulary()) continue;
      return absl::InvalidArgumentError(absl::StrCat("text input: expected tokens from 0 to ",
                                                     embedding_.vocabulary() - 1, ", found ", token));
    }
    embedding_.forward(compute, batch.tokens, x);
    return absl::OkStatus();
  }

  void backward(const Compute& compute, const Batch& batch, View<const float> dx) override {
    embedding_.backward(compute, batch.tokens, dx);
  }

  void append_parameters(std::vector<tensor::Parameter*>& to) override { embedding_.append_parameters(to); }
  tensor::Parameter* table() override { return &embedding_.table(); }

 private:
  nn::Embedding embedding_;
};

class PatchFrontend final : public Frontend {
 public:
  PatchFrontend(const ModelConfig& config, Train train)
      : shape_(config.patches),
        projection_("model.embed_patches", config.hidden_size, shape_.pixels(), nn::Bias::no, train),
        positions_("model.embed_positions", shape_.rows(), config.hidden_size, train) {}

  void initialise(const Rng& rng, float deviation) override {
    // Pixels have deviation 1: the rows start with the deviation that tokens have.
    projection_.initialise(rng, deviation / std::sqrt(static_cast<float>(shape_.pixels())));
    positions_.initialise(rng, deviation);
  }
  void repack(const Compute& compute) override { projection_.repack(compute); }

  Status forward(const Compute& compute, const Batch& batch, View<float> x) const override {
    const int64_t expected = batch.rows() * shape_.pixels();
    if (batch.length != shape_.rows() || static_cast<int64_t>(batch.patches.size()) != expected) {
      return absl::InvalidArgumentError(absl::StrCat(
          "image input: expected ", shape_.rows(), " patches of ", shape_.pixels(),
          " pixels an image, found ", batch.length, " rows and ", batch.patches.size(), " numbers"));
    }
    positions_.forward(compute, positions_of(batch), x);
    projection_.forward(compute, pixels_of(batch), x, nn::Write::add);
    return absl::OkStatus();
  }

  void backward(const Compute& compute, const Batch& batch, View<const float> dx) override {
    positions_.backward(compute, positions_of(batch), dx);
    projection_.backward(compute, pixels_of(batch), dx, {});
  }

  void append_parameters(std::vector<tensor::Parameter*>& to) override {
    projection_.append_parameters(to);
    positions_.append_parameters(to);
  }

 private:
  View<const float> pixels_of(const Batch& batch) const {
    return {batch.patches.data(), batch.rows(), shape_.pixels()};
  }
  static std::vector<int32_t> positions_of(const Batch& batch) {
    std::vector<int32_t> positions(static_cast<size_t>(batch.rows()));
    for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int32_t>(i % batch.length);
    return positions;
  }

  PatchShape shape_;
  nn::Linear projection_;
  nn::Embedding positions_;
};

}  // namespace

std::unique_ptr<Frontend> make_frontend(const ModelConfig& config, Train train) {
  if (config.frontend == FrontendKind::patches) return std::make_unique<PatchFrontend>(config, train);
  return std::make_unique<TextFrontend>(config, train);
}

}  // namespace agora::model
