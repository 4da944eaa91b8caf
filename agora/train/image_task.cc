#include <algorithm>
#include <cmath>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "agora/train/idx.h"
#include "agora/train/task.h"
#include "agora/weights/hash.h"

namespace agora::train {
namespace {

struct LabelledImages {
  IdxArray images;  // [N, height, width]
  IdxArray labels;  // [N]
  int64_t count() const { return images.shape[0]; }
};

// MNIST's file names: train-images-idx3-ubyte, t10k-labels-idx1-ubyte, ... with any ending (.gz).
StatusOr<std::string> find_file(const std::string& dir, const std::string& prefix) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(dir, error)) {
    if (entry.path().filename().string().starts_with(prefix)) return entry.path().string();
  }
  return absl::NotFoundError(
      absl::StrCat(dir, ": expected a file named ", prefix, "... (IDX, may be gzip), found none"));
}

StatusOr<LabelledImages> read_part(const std::string& dir, const std::string& part) {
  LabelledImages data;
  AGORA_ASSIGN_OR_RETURN(const std::string images, find_file(dir, part + "-images"));
  AGORA_ASSIGN_OR_RETURN(const std::string labels, find_file(dir, part + "-labels"));
  AGORA_ASSIGN_OR_RETURN(data.images, read_idx(images));
  AGORA_ASSIGN_OR_RETURN(data.labels, read_idx(labels));
  if (data.images.shape.size() != 3 || data.labels.shape.size() != 1 ||
      data.images.shape[0] != data.labels.shape[0] || data.count() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        images, " and ", labels, ": expected images [N, height, width] and as many labels [N], found ",
        data.images.shape.size(), " and ", data.labels.shape.size(), " dimensions and ",
        data.images.shape.empty() ? 0 : data.images.shape[0], " and ",
        data.labels.shape.empty() ? 0 : data.labels.shape[0], " entries"));
  }
  return data;
}

// Test images of the training images' kind: what the model has no class for has no loss.
Status check_alike(const std::string& dir, const LabelledImages& train, const LabelledImages& test) {
  for (const size_t axis : {1, 2}) {
    if (train.images.shape[axis] == test.images.shape[axis]) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(dir, ": expected test images of the training images' size, ", train.images.shape[axis],
                     ", found ", test.images.shape[axis]));
  }
  const int most = *std::ranges::max_element(train.labels.values);
  const int found = *std::ranges::max_element(test.labels.values);
  if (found <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(dir, ": expected test labels from 0 to ", most,
                                                 ", the training labels' largest, found ", found));
}

// Mean and deviation of all pixels: inputs are brought to 0 and 1.
struct Scale {
  float mean = 0;
  float deviation = 1;
};
Scale scale_of(const std::vector<uint8_t>& pixels) {
  double sum = 0;
  double squares = 0;
  for (const uint8_t p : pixels) {
    sum += p;
    squares += double{1} * p * p;
  }
  const auto n = static_cast<double>(pixels.size());
  const double mean = sum / n;
  return {static_cast<float>(mean), static_cast<float>(std::sqrt(std::max(squares / n - mean * mean, 1e-6)))};
}

class ImageTask final : public Task {
 public:
  ImageTask(const TrainOptions& options, LabelledImages train, LabelledImages test)
      : batch_(options.batch),
        shift_(options.shift),
        train_(std::move(train)),
        test_(std::move(test)),
        scale_(scale_of(train_.images.values)),
        rng_(data_rng(options)) {
    shape_ = {train_.images.shape[1], train_.images.shape[2], options.patch};
    classes_ = 1 + *std::ranges::max_element(train_.labels.values);
    domains_ = {{"images", static_cast<int64_t>(train_.images.values.size()),
                 static_cast<int64_t>(test_.images.values.size()), train_.count(), test_.count()}};
    weights::Sha256 hash;
    for (const IdxArray* part : {&train_.images, &train_.labels, &test_.images, &test_.labels}) {
      hash.update(std::as_bytes(std::span(part->values)));
    }
    fingerprint_ = weights::to_hex(hash.finish());
  }

  model::ModelConfig shape(model::ModelConfig config) const override {
    config.frontend = model::FrontendKind::patches;
    config.head = model::HeadKind::classes;
    config.causal = false;
    config.patches = shape_;
    config.vocab_size = classes_;
    config.max_position_embeddings = shape_.rows();
    return config;
  }

  void restart(const TrainOptions& options) override { rng_ = data_rng(options); }
  model::Batch next() override {
    model::Batch batch = empty_batch(batch_);
    for (int64_t b = 0; b < batch_; ++b) {
      const int64_t image = rng_.below(static_cast<uint32_t>(train_.count()));
      const int64_t down = draw_shift();
      const int64_t right = draw_shift();
      append(train_, image, down, right, batch);
    }
    return batch;
  }
  Rng::State cursor() const override { return rng_.state(); }
  void restore(Rng::State cursor) override { rng_ = Rng(cursor); }

  std::vector<model::Batch> validation(int64_t, int64_t rows_max) const override {
    const int64_t most = rows_max == 0 ? test_.count() : std::max<int64_t>(1, rows_max / shape_.rows());
    const int64_t count = std::min(test_.count(), most);
    std::vector<model::Batch> batches;
    for (int64_t begin = 0; begin < count; begin += batch_) {
      model::Batch batch = empty_batch(std::min(batch_, count - begin));
      for (int64_t i = begin; i < begin + batch.batch; ++i) append(test_, i, 0, 0, batch);
      batches.push_back(std::move(batch));
    }
    return batches;
  }

  const std::vector<DomainSummary>& domains() const override { return domains_; }
  const std::vector<std::string>& notes() const override { return notes_; }
  const std::string& fingerprint() const override { return fingerprint_; }
  SharedTokenizer tokenizer() const override { return nullptr; }

 private:
  model::Batch empty_batch(int64_t images) const {
    model::Batch batch;
    batch.batch = images;
    batch.length = shape_.rows();
    batch.patches.reserve(static_cast<size_t>(batch.rows() * shape_.pixels()));
    batch.domains.assign(static_cast<size_t>(images), 0);
    return batch;
  }

  int64_t draw_shift() {
    return shift_ == 0 ? 0 : static_cast<int64_t>(rng_.below(static_cast<uint32_t>(2 * shift_ + 1))) - shift_;
  }

  float pixel(const LabelledImages& data, int64_t image, int64_t y, int64_t x) const {
    if (y < 0 || y >= shape_.height || x < 0 || x >= shape_.width) return -scale_.mean / scale_.deviation;
    const int64_t at = (image * shape_.height + y) * shape_.width + x;
    return (static_cast<float>(data.images.values[static_cast<size_t>(at)]) - scale_.mean) / scale_.deviation;
  }

  // Patch after patch, each row by row.
  void append(const LabelledImages& data, int64_t image, int64_t dy, int64_t dx, model::Batch& batch) const {
    for (int64_t top = 0; top < shape_.height; top += shape_.patch) {
      for (int64_t left = 0; left < shape_.width; left += shape_.patch) {
        for (int64_t y = top; y < top + shape_.patch; ++y) {
          for (int64_t x = left; x < left + shape_.patch; ++x) {
            batch.patches.push_back(pixel(data, image, y + dy, x + dx));
          }
        }
      }
    }
    batch.targets.push_back(data.labels.values[static_cast<size_t>(image)]);
  }

  int64_t batch_;
  int64_t shift_;
  LabelledImages train_;
  LabelledImages test_;
  Scale scale_;
  Rng rng_;
  model::PatchShape shape_;
  int64_t classes_ = 0;
  std::vector<DomainSummary> domains_;
  std::vector<std::string> notes_;
  std::string fingerprint_;
};

}  // namespace

StatusOr<std::unique_ptr<Task>> make_image_task(const TrainOptions& options) {
  if (options.data.empty())
    return absl::InvalidArgumentError("--data: expected a folder with IDX files (MNIST)");
  AGORA_ASSIGN_OR_RETURN(LabelledImages train, read_part(options.data, "train"));
  AGORA_ASSIGN_OR_RETURN(LabelledImages test, read_part(options.data, "t10k"));
  AGORA_RETURN_IF_ERROR(check_alike(options.data, train, test));
  return std::make_unique<ImageTask>(options, std::move(train), std::move(test));
}

StatusOr<std::unique_ptr<Task>> make_task(const TrainOptions& options, SharedTokenizer tokenizer,
                                          base::ThreadPool& pool) {
  if (options.task == "text") return make_text_task(options, std::move(tokenizer), pool);
  if (options.task == "images") return make_image_task(options);
  return absl::InvalidArgumentError(absl::StrCat("--task: expected text or images, found ", options.task));
}

}  // namespace agora::train
