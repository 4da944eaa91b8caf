#include "agora/train/batches.h"

#include <algorithm>

#include "agora/base/check.h"
#include "agora/base/text.h"

namespace agora::train {
namespace {

// Uniform in [0, bound); bound < 2^53.
int64_t below(Rng& rng, int64_t bound) {
  return static_cast<int64_t>(rng.uniform_double() * static_cast<double>(bound));
}

// Row b of the batch: length tokens from `at` on and what follows each.
void fill_row(Batch& batch, int64_t b, std::span<const int32_t> tokens, int64_t at) {
  const int64_t available = std::min(batch.length, static_cast<int64_t>(tokens.size()) - 1 - at);
  const auto from = tokens.begin() + at;
  const int64_t row = b * batch.length;
  std::copy(from, from + available, batch.tokens.begin() + row);
  std::copy(from + 1, from + 1 + available, batch.targets.begin() + row);
}

Batch empty_batch(int64_t batch, int64_t length) {
  Batch b;
  b.batch = batch;
  b.length = length;
  b.tokens.assign(static_cast<size_t>(batch * length), 0);
  b.targets.assign(static_cast<size_t>(batch * length), kNoTarget);
  b.domains.assign(static_cast<size_t>(batch), 0);
  return b;
}

// Whatever a batch holds, it holds equally much of for each sequence.
template <class T>
std::vector<T> share_of(const std::vector<T>& all, int64_t part, int64_t parts) {
  const int64_t size = std::ssize(all) / parts;
  return {all.begin() + part * size, all.begin() + (part + 1) * size};
}

}  // namespace

StatusOr<BatchSampler> BatchSampler::create(const TokenCorpus& tokens, const BatchShape& shape, Rng rng) {
  AGORA_CHECK(shape.batch > 0 && shape.length > 0);
  BatchSampler sampler(shape, rng);
  for (size_t d = 0; d < tokens.domains.size(); ++d) {
    const std::vector<int32_t>& train = tokens.domains[d].train;
    const int64_t starts = static_cast<int64_t>(train.size()) - shape.length;
    if (starts <= 0) continue;
    sampler.starts_total_ += starts;
    sampler.sources_.push_back({static_cast<int32_t>(d), train, starts});
  }
  if (!sampler.sources_.empty()) return sampler;
  return absl::InvalidArgumentError(
      base::concat("there is too little text: no domain has the ", shape.length + 1,
                   " tokens of one sequence; give more text or a shorter sequence"));
}

Batch BatchSampler::next() {
  Batch batch = empty_batch(shape_.batch, shape_.length);
  for (int64_t b = 0; b < shape_.batch; ++b) {
    const auto [source, start] = draw();
    batch.domains[static_cast<size_t>(b)] = source->domain;
    fill_row(batch, b, source->tokens, start);
  }
  return batch;
}

std::pair<const BatchSampler::Source*, int64_t> BatchSampler::draw() {
  int64_t start = below(rng_, starts_total_);
  size_t i = 0;
  while (start >= sources_[i].starts) start -= sources_[i++].starts;
  return {&sources_[i], start};
}

std::vector<Batch> evaluation_batches(std::span<const int32_t> tokens, int32_t domain,
                                      const BatchShape& shape, int64_t windows_max) {
  const int64_t predicted = std::max<int64_t>(static_cast<int64_t>(tokens.size()) - 1, 0);
  const int64_t windows = (predicted + shape.length - 1) / shape.length;
  const int64_t taken = windows_max > 0 ? std::min(windows, windows_max) : windows;
  std::vector<Batch> batches;
  for (int64_t first = 0; first < taken; first += shape.batch) {
    Batch batch = empty_batch(std::min(shape.batch, taken - first), shape.length);
    for (int64_t b = 0; b < batch.batch; ++b) {
      const int64_t window = (first + b) * windows / taken;
      batch.domains[static_cast<size_t>(b)] = domain;
      fill_row(batch, b, tokens, window * shape.length);
    }
    batches.push_back(std::move(batch));
  }
  return batches;
}

std::vector<Batch> split_batch(const Batch& batch, int64_t parts) {
  AGORA_CHECK(parts >= 1 && batch.batch % parts == 0);
  std::vector<Batch> split;
  for (int64_t part = 0; part < parts; ++part) {
    split.push_back({.batch = batch.batch / parts,
                     .length = batch.length,
                     .tokens = share_of(batch.tokens, part, parts),
                     .patches = share_of(batch.patches, part, parts),
                     .targets = share_of(batch.targets, part, parts),
                     .domains = share_of(batch.domains, part, parts)});
  }
  return split;
}

}  // namespace agora::train
