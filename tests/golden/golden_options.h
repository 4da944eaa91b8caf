// The model that golden runs train: small, and with every kind of tail.
//
//   train::TrainOptions options = golden_options(text.file());
//
// Values.
#pragma once

#include <string>

#include "agora/train/options.h"

namespace agora::tests {

inline train::TrainOptions golden_options(const std::string& data) {
  train::TrainOptions options;
  options.data = data;
  options.tokenizer = "char";
  options.layers = 2;
  options.width = 48;
  options.heads = 3;
  options.kv_heads = 1;
  options.experts = 6;
  options.chosen = 2;
  options.hidden = 40;
  options.sequence = 48;
  options.batch = 4;
  options.steps = 10;
  options.noise = 0.1f;
  return options;
}

}  // namespace agora::tests
