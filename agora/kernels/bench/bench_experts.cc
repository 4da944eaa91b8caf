#include "agora/kernels/bench/bench_experts.h"

#include <numeric>

#include "absl/strings/str_format.h"
#include "agora/base/rng.h"
#include "agora/kernels/bench/roofline.h"
#include "agora/kernels/bench/timing.h"
#include "agora/kernels/workspace.h"

namespace agora::kernels {
namespace {

Buffer<float> random_weights(Rng& rng, int64_t rows, int64_t cols) {
  Buffer<float> result = Buffer<float>::uninitialised(rows, cols, Purpose::weight);
  for (float& w : result.flat()) w = (rng.uniform() - 0.5f) * 0.1f;
  return result;
}

// Experts of one shape with their packs, gradients and a batch; every expert has memory of its own.
class Mixture {
 public:
  Mixture(const Compute& compute, const ExpertShape& shape) : shape_(shape) {
    Rng rng(1);
    const Buffer<float> gate = random_weights(rng, shape.h, shape.d);
    const Buffer<float> up = random_weights(rng, shape.h, shape.d);
    const Buffer<float> down = random_weights(rng, shape.d, shape.h);
    const ExpertWeights weights{gate.view(), up.view(), down.view(), {}, {}};
    for (int64_t e = 0; e < shape.experts; ++e) {
      packs_.push_back(pack_expert(compute, Activation::swiglu, weights, true));
      gradients_.emplace_back(3, shape.h * shape.d, Purpose::gradient);
    }
    set_rows(shape.rows);
  }

  // Takes a batch of another size.
  void set_rows(int64_t rows) {
    shape_.rows = rows;
    Rng rng(2);
    const int64_t entries = rows * shape_.experts;
    const int64_t tokens = std::max<int64_t>(rows, entries / 2);  // two experts a token
    x_ = random_weights(rng, tokens, shape_.d);
    dy_ = random_weights(rng, tokens, shape_.d);
    out_ = Buffer<float>(entries, shape_.d, Purpose::activation);
    dx_ = Buffer<float>(entries, shape_.d, Purpose::activation);
    dweights_.resize(static_cast<size_t>(entries));
    weights_.assign(static_cast<size_t>(entries), 0.5f);
    tokens_.clear();
    for (int64_t i = 0; i < entries; ++i) tokens_.push_back(static_cast<int32_t>(i * 7 % tokens));
    lay_out_groups();
  }

  void forward(const Compute& compute, bool keep) {
    experts_forward(compute, x_.view(), groups_, out_.view(), keep ? &saved_ : nullptr);
  }
  void backward(const Compute& compute) {
    experts_backward(compute, x_.view(), groups_, saved_, dy_.view(), gradient_views_, dx_.view(), dweights_);
  }

  double operations() const {
    return 6.0 * static_cast<double>(shape_.d * shape_.h) * static_cast<double>(shape_.experts * shape_.rows);
  }
  double weights() const { return 3.0 * static_cast<double>(shape_.d * shape_.h * shape_.experts); }

 private:
  void lay_out_groups() {
    groups_.clear();
    gradient_views_.clear();
    for (int64_t e = 0; e < shape_.experts; ++e) {
      const int64_t entry = e * shape_.rows;
      groups_.push_back({&packs_[e], tokens_.data() + entry, weights_.data() + entry, shape_.rows, entry});
      const auto part = [&](int64_t i, int64_t rows, int64_t cols) {
        return View<float>(gradients_[e].row(i), rows, cols);
      };
      gradient_views_.push_back(
          {part(0, shape_.h, shape_.d), part(1, shape_.h, shape_.d), part(2, shape_.d, shape_.h), {}, {}});
    }
  }

  ExpertShape shape_;
  std::vector<ExpertPack> packs_;
  std::vector<Buffer<float>> gradients_;
  Buffer<float> x_, dy_, out_, dx_;
  std::vector<float> dweights_, weights_;
  std::vector<int32_t> tokens_;
  std::vector<ExpertGroup> groups_;
  std::vector<ExpertGradients> gradient_views_;
  ExpertSaved saved_;
};

BenchLine line_of(const Roofline& limit, const ExpertShape& shape, int threads, const char* pass,
                  double operations, double bytes, double seconds) {
  BenchLine line;
  const double attainable = limit.attainable(operations, bytes);
  const bool memory_bound = attainable < limit.bf16_rate;
  line.name = memory_bound ? "expert_few_rows_bandwidth_share" : "expert_bf16_roofline_share";
  line.shape =
      absl::StrFormat("D=%d H=%d experts=%d rows=%d %s", shape.d, shape.h, shape.experts, shape.rows, pass);
  line.threads = threads;
  line.value = operations / seconds * 1e-9;
  line.unit = "GFLOP/s";
  line.yardstick = memory_bound ? "memory bandwidth x operations per byte"
                                : absl::StrFormat("%s from a 1 MiB set", limit.instruction);
  line.yardstick_value = attainable * 1e-9;
  line.ratio = line.value / line.yardstick_value;
  return line;
}

}  // namespace

std::vector<BenchLine> bench_experts(const Table& table, const CpuFeatures& features,
                                     const ExpertBenchOptions& options) {
  std::vector<BenchLine> lines;
  for (const int threads : options.threads) {
    Roofline limit;
    base::ThreadPool pool(threads);
    Workspace workspace;
    const Compute compute{&table, &pool, Precision::bf16, &workspace};
    std::unique_ptr<Mixture> mixture;
    ExpertShape last{0, 0, 0, 0};
    for (const ExpertShape& shape : options.shapes) {
      if (shape.d == last.d && shape.h == last.h && shape.experts == last.experts) {
        mixture->set_rows(shape.rows);
      } else {
        mixture = nullptr;  // the old one goes first
        mixture = std::make_unique<Mixture>(compute, shape);
        // Beside what is held against it: the bandwidth that neighbours leave changes within minutes.
        limit = measure_roofline(features, threads);
      }
      last = shape;
      const double operations = mixture->operations();
      const double weights = mixture->weights();
      const double forward =
          best_seconds([&] { mixture->forward(compute, false); }, options.seconds_per_case, 3);
      const double both = best_seconds(
          [&] {
            mixture->forward(compute, true);
            mixture->backward(compute);
          },
          options.seconds_per_case, 2);
      // Weights are bf16 and read once a pass; gradients are f32, read and written.
      lines.push_back(line_of(limit, shape, threads, "forward", operations, 2 * weights, forward));
      lines.push_back(
          line_of(limit, shape, threads, "forward+backward", 3 * operations, (2 + 2 + 8) * weights, both));
    }
  }
  return lines;
}

}  // namespace agora::kernels
