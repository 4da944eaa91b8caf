// Everything a training run is told. The command line's flags and a recipe's config.toml use these names with dashes.
// A value type; saved in every checkpoint, so that a resumed run is the same run.
#pragma once

#include <cstdint>
#include <string>

namespace agora::train {

struct TrainOptions {
  // What is learned from what.
  std::string task = "text";       // text: next token; images: the class of an IDX image
  std::string data;                // a folder or file; empty: the text that this machine holds
  std::string tokenizer = "bpe";   // bpe, unigram, char, bytes
  int64_t vocabulary = 2048;
  int64_t domain_mb_max = 3;       // text read of each domain, in MB

  // The model.
  int64_t layers = 4;
  int64_t width = 256;           // D
  int64_t heads = 4;
  int64_t kv_heads = 0;          // 0: as many as heads
  int64_t head_width = 0;        // 0: width / heads
  int64_t experts = 16;          // E
  int64_t chosen = 2;            // K
  int64_t hidden = 256;          // H
  int64_t shared_hidden = 0;
  int64_t patch = 4;             // images: side of a patch
  std::string score = "softmax";
  std::string selection = "top_k";
  bool renormalise = true;
  bool qk_norm = true;
  bool tie = false;              // the head shares the embedding's weights
  float noise = 0.0f;
  float bias_rate = 1e-3f;       // balance by selection bias; 0: off
  float aux_loss = 0.0f;         // Switch loss
  float z_loss = 0.0f;
  std::string twin = "none";     // dense: one expert of the same active size; wide: one expert of the same total size

  // The way there.
  int64_t sequence = 256;
  int64_t batch = 8;             // sequences a step
  int64_t steps = 0;             // 0: as many as fit into `minutes`
  double minutes = 3.0;
  float learning_rate = 2e-3f;
  float learning_rate_end = 0.1f;  // of learning_rate, at the last step
  int64_t warmup = 100;          // steps
  std::string schedule = "cosine";  // cosine, constant, wsd
  float beta2 = 0.95f;
  float weight_decay = 0.1f;
  float gradient_norm_max = 1.0f;
  int64_t shift = 0;             // images: move each training image by up to so many pixels
  int64_t validate_every = 100;  // steps
  int64_t validate_rows = 16384;  // rows per validation while training; 0: all of them
  int64_t save_every = 500;      // steps
  uint64_t seed = 1;

  // The machine.
  std::string out;               // the run's folder; empty: runs/NAME, numbered
  std::string name = "machine_text";
  int threads = 0;               // 0: one per processor
  std::string precision = "bf16";  // bf16, f32
};

}  // namespace agora::train
