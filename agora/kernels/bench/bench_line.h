// One measured number with the one it is held against.
#pragma once

#include <string>

namespace agora::kernels {

struct BenchLine {
  std::string name;   // what is measured
  std::string shape;  // at which sizes
  int threads = 1;
  double value = 0.0;
  std::string unit;
  std::string yardstick;         // what the value is held against; measured in the same run
  double yardstick_value = 0.0;  // in the same unit
  double ratio = 0.0;            // value / yardstick_value
};

}  // namespace agora::kernels
