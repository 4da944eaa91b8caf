// Everything a training run is told. The command line's flags and a recipe's config.toml use these names with
// dashes. A value type; saved in every checkpoint, so that a resumed run is the same run.
#pragma once

#include <cstdint>
#include <string>

#include "agora/base/result.h"
#include "agora/model/config.h"

namespace agora::train {

struct TrainOptions {
  // What is learned from what.
  std::string task = "text";      // text: next token; images: the class of an IDX image
  std::string data;               // a folder or file; empty: the text that this machine holds
  std::string tokenizer = "bpe";  // bpe, unigram, char, bytes
  int64_t vocabulary = 2048;
  int64_t domain_mb_max = 3;  // text read of each domain, in MB; 0: as much as text_files.h says

  // The model.
  int64_t layers = 4;
  int64_t width = 256;  // D
  int64_t heads = 4;
  int64_t kv_heads = 0;    // 0: as many as heads
  int64_t head_width = 0;  // 0: width / heads
  int64_t experts = 16;    // E
  int64_t chosen = 2;      // K
  int64_t hidden = 256;    // H
  int64_t shared_hidden = 0;
  int64_t patch = 4;  // images: side of a patch
  std::string score = "softmax";
  std::string selection = "top_k";
  int64_t groups = 1;  // grouped_top_k: as many experts in each
  int64_t groups_chosen = 1;
  bool renormalise = true;
  bool qk_norm = true;
  bool tie = false;  // the head shares the embedding's weights
  float noise = 0.0f;
  float bias_rate = 1e-3f;  // balance by selection bias; 0: off
  float aux_loss = 0.0f;    // Switch loss
  float z_loss = 0.0f;
  std::string twin =
      "none";  // dense: one expert of the same active size; wide: one expert of the same total size

  // The way there.
  int64_t sequence = 256;
  int64_t batch = 8;          // sequences a step
  int64_t micro_batches = 1;  // equal parts of a batch, under way together where experts are elsewhere
  int64_t steps = 0;          // 0: as many as fit into `minutes`
  double minutes = 3.0;
  float learning_rate = 2e-3f;
  float learning_rate_end = 0.1f;   // of learning_rate, at the last step
  int64_t warmup = 100;             // steps
  std::string schedule = "cosine";  // cosine, constant, wsd
  float beta2 = 0.95f;
  float weight_decay = 0.1f;
  float gradient_norm_max = 1.0f;
  int64_t shift = 0;              // images: move each training image by up to so many pixels
  int64_t validate_every = 100;   // steps
  int64_t validate_rows = 16384;  // rows per validation while training; 0: all of them
  int64_t save_every = 500;       // steps
  // Swarms: trainers average their trunks (swarm/averaging/outer_step.h), often and plainly:
  // docs/decisions/010.
  int64_t average_every = 10;     // steps
  float average_rate = 1.0f;      // eta; DiLoCo, which averages 50 times as rarely: 0.7
  float average_momentum = 0.0f;  // mu; DiLoCo: 0.9
  uint64_t seed = 1;

  // The machine.
  std::string out;  // the run's folder; empty: runs/NAME, numbered
  std::string name = "machine_text";
  int threads = 0;                 // 0: one per processor
  std::string precision = "bf16";  // bf16, f32
};

// Calls visit(name, field, help) for every option, in the order of the struct: the one list of names that
// flags, recipes and checkpoints share.
template <class Options, class Visit>
void for_each_option(Options& o, Visit&& visit) {
  visit("task", o.task, "text: next token; images: the class of an image (IDX files)");
  visit("data", o.data,
        "folder or file to learn from; a sub-folder is a domain. Empty: this machine's own text");
  visit("tokenizer", o.tokenizer, "bpe, unigram, char or bytes");
  visit("vocabulary", o.vocabulary, "pieces of bpe and unigram, at most");
  visit("domain-mb-max", o.domain_mb_max,
        "MB of text read of each domain, at most; 0: 256 of --data, 4 of this machine's own text");
  visit("layers", o.layers, "blocks of attention and mixture");
  visit("width", o.width, "numbers in a row (D)");
  visit("heads", o.heads, "attention heads");
  visit("kv-heads", o.kv_heads, "heads of keys and values; 0: as many as heads");
  visit("head-width", o.head_width, "0: width / heads");
  visit("experts", o.experts, "experts in each layer (E)");
  visit("chosen", o.chosen, "experts chosen for each token (K)");
  visit("hidden", o.hidden, "hidden width of an expert (H)");
  visit("shared-hidden", o.shared_hidden, "hidden width of an expert that serves every token; 0: none");
  visit("patch", o.patch, "images: side of a patch in pixels");
  visit("score", o.score, "the gate's scores: softmax or sigmoid");
  visit("selection", o.selection, "top_k, grouped_top_k, all, or (images only) expert_choice");
  visit("groups", o.groups, "grouped_top_k: groups of equally many experts");
  visit("groups-chosen", o.groups_chosen, "grouped_top_k: how many groups the chosen experts are from");
  visit("renormalise", o.renormalise,
        "weights of the chosen experts sum to 1; that of --chosen 1 is its score as it is");
  visit("qk-norm", o.qk_norm, "norms of queries and keys");
  visit("tie", o.tie, "the head shares the embedding's weights");
  visit("noise", o.noise, "noisy top-k while training; 0: none");
  visit("bias-rate", o.bias_rate, "balance by selection bias: how far a step moves it; 0: off");
  visit("aux-loss", o.aux_loss, "balance by Switch's loss: its coefficient");
  visit("z-loss", o.z_loss, "router z-loss: its coefficient");
  visit("twin", o.twin, "none; dense: one expert of the active size; wide: one of the total size");
  visit("sequence", o.sequence, "tokens in a sequence");
  visit("batch", o.batch, "sequences (or images) in a step");
  visit("micro-batches", o.micro_batches,
        "equal parts of a step's batch; in a swarm all are under way at the same time");
  visit("steps", o.steps, "training steps; 0: as many as fit into --minutes");
  visit("minutes", o.minutes, "how long to train when --steps is 0");
  visit("learning-rate", o.learning_rate, "at its highest");
  visit("learning-rate-end", o.learning_rate_end, "at the last step, as a share of the highest");
  visit("warmup", o.warmup, "steps until the learning rate is at its highest");
  visit("schedule", o.schedule, "cosine, constant or wsd (warm-up, stable, decay)");
  visit("beta2", o.beta2, "AdamW's memory of squared gradients");
  visit("weight-decay", o.weight_decay, "AdamW's decoupled decay, of matrices");
  visit("gradient-norm-max", o.gradient_norm_max,
        "clips the trunk's gradient and each expert's by its own norm");
  visit("shift", o.shift, "images: move each training image by up to so many pixels");
  visit("validate-every", o.validate_every, "steps");
  visit("validate-rows", o.validate_rows, "rows of each such validation; 0: all");
  visit("save-every", o.save_every, "steps");
  visit("average-every", o.average_every, "swarms: steps between two rounds of averaging the trunks");
  visit("average-rate", o.average_rate, "swarms: the learning rate of the averaged change");
  visit("average-momentum", o.average_momentum, "swarms: its Nesterov momentum");
  visit("seed", o.seed, "of weights, data order and noise");
  visit("out", o.out, "the run's folder; empty: runs/NAME, numbered");
  visit("name", o.name, "of the run");
  visit("threads", o.threads, "0: one per processor; the result does not depend on it");
  visit("precision", o.precision, "bf16 (products of bf16, sums of f32) or f32");
}

// InvalidArgument that names the flag, what was expected and what came.
Status validate(const TrainOptions& options);

// The model that the options describe, but for what the data decides (Task::shape). Validates the options.
// Its gate renormalises as they say, unless one expert of several is chosen (as in Switch).
StatusOr<model::ModelConfig> config_of(const TrainOptions& options);

}  // namespace agora::train
