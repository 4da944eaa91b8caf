// A learned tensor by its name in the checkpoint, with what training keeps beside it.
//
//   Parameter weight = Parameter::matrix("lm_head.weight", V, D, Train::yes);
//   Parameter gain = Parameter::vector("model.norm.weight", D, Train::yes);
//   weight.value.row(v);   weight.zero_gradient();
//   ParameterView view = weight;      // borrows
//
// Layers (nn/, moe/) own parameters and add to their gradients; optimizers (optim/) move them; checkpoints
// (weights/) name them. Moves, does not copy: pointers to a parameter hold until its layer is moved. Who has
// thousands of them, as the experts of a host, keeps the numbers alone and gives views. One writer at a time.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "agora/tensor/buffer.h"

namespace agora::tensor {

// yes: gradient and both moments are held, 16 bytes a number in all. no: the value alone.
enum class Train : uint8_t { no, yes };

struct Parameter {
  std::string name;
  int rank = 2;  // 1: a vector [cols] (value has one row); 2: a matrix [rows, cols]
  Buffer<float> value;
  Buffer<float> gradient;  // added to by backward passes; empty unless trained, as are the moments
  Buffer<float> first;     // AdamW's first moment, or SGD's momentum
  Buffer<float> second;    // AdamW's second moment

  // Values are zero.
  static Parameter matrix(std::string name, int64_t rows, int64_t cols, Train train) {
    Parameter p{.name = std::move(name), .rank = 2, .value = {}, .gradient = {}, .first = {}, .second = {}};
    p.allocate(rows, cols, train);
    return p;
  }
  static Parameter vector(std::string name, int64_t length, Train train) {
    Parameter p{.name = std::move(name), .rank = 1, .value = {}, .gradient = {}, .first = {}, .second = {}};
    p.allocate(1, length, train);
    return p;
  }

  bool trained() const { return !gradient.empty(); }
  // Weight decay is for matrices: gains and biases have no scale to shrink (Loshchilov & Hutter leave it
  // open; GPT-2, Llama and nanoGPT all do so).
  bool decays() const { return rank == 2; }
  void zero_gradient() { std::fill(gradient.flat().begin(), gradient.flat().end(), 0.0f); }

 private:
  void allocate(int64_t rows, int64_t cols, Train train) {
    value = Buffer<float>(rows, cols, Purpose::weight);
    if (train == Train::no) return;
    gradient = Buffer<float>(rows, cols, Purpose::gradient);
    first = Buffer<float>(rows, cols, Purpose::optimizer);
    second = Buffer<float>(rows, cols, Purpose::optimizer);
  }
};

// A parameter whose numbers belong to somebody else. Holds as long as those do.
struct ParameterView {
  std::string name;
  int rank = 2;
  View<float> value, gradient, first, second;  // as in Parameter

  ParameterView() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): borrowing is what a view is for
  ParameterView(Parameter& p)
      : name(p.name),
        rank(p.rank),
        value(p.value.view()),
        gradient(p.gradient.view()),
        first(p.first.view()),
        second(p.second.view()) {}

  bool trained() const { return !gradient.empty(); }
  bool decays() const { return rank == 2; }
};

inline std::vector<ParameterView> views_of(std::span<Parameter* const> parameters) {
  std::vector<ParameterView> views;
  views.reserve(parameters.size());
  for (Parameter* parameter : parameters) views.emplace_back(*parameter);
  return views;
}

}  // namespace agora::tensor
