// A small model for tests that train: two layers of characters, milliseconds a step.
//
//   train::TrainOptions options = small_options(text.file());   options.experts = 4;
//
// Values.
#pragma once

#include <string>

#include "agora/train/options.h"

namespace agora::tests {

inline train::TrainOptions small_options(const std::string& data) {
  train::TrainOptions options;
  options.data = data;
  options.tokenizer = "char";
  options.layers = 2;
  options.width = 32;
  options.heads = 2;
  options.experts = 8;
  options.hidden = 24;
  options.sequence = 32;
  options.steps = 1000;
  options.warmup = 10;
  options.learning_rate = 1e-2f;
  options.precision = "f32";
  return options;
}

}  // namespace agora::tests
