// Turns rows into the answer: the next token of every row, or the class of every sequence.
//
//   auto head = make_head(config, frontend->table(), Train::yes);
//   LossSum loss = head->loss(compute, batch, rows, 1.0f / counted, row_loss, drows);   // and the gradients
//   head->logits(compute, batch, rows, out);                                           // answers
//
// An *answer* is a row for HeadKind::next_token (T of them) and a sequence for HeadKind::classes (B).
// logits() from any thread; the rest by one thread at a time.
#pragma once

#include <memory>
#include <vector>

#include "agora/model/batch.h"
#include "agora/model/config.h"
#include "agora/nn/loss.h"

namespace agora::model {

using kernels::Compute;
using nn::LossSum;
using tensor::Train;
using tensor::View;

class Head {
 public:
  virtual ~Head() = default;

  virtual void initialise(const Rng& rng, float deviation) = 0;
  virtual void repack(const Compute& compute) = 0;

  virtual int64_t answers(const Batch& batch) const = 0;

  // rows [T, D] after the last norm. answer_loss [answers] or empty. drows [T, D] is written with the
  // gradient of scale * (sum of losses), and the head's gradients are added to; empty: no gradients.
  virtual LossSum loss(const Compute& compute, const Batch& batch, View<const float> rows, float scale,
                       std::span<float> answer_loss, View<float> drows) = 0;

  // out [answers, V].
  virtual void logits(const Compute& compute, const Batch& batch, View<const float> rows,
                      View<float> out) const = 0;

  virtual void append_parameters(std::vector<tensor::Parameter*>& to) = 0;
};

// table: the embedding's, shared when config.tie_word_embeddings; it must outlive the head.
std::unique_ptr<Head> make_head(const ModelConfig& config, tensor::Parameter* table, Train train);

}  // namespace agora::model
