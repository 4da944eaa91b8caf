// The feed-forward networks of many experts over one batch of rows: the heart of a mixture.
//
//   swiglu:  E(x) = (silu(x G^T) * (x U^T)) D^T       G, U: [H, D]   D: [D, H]     (Shazeer 2020)
//   gelu, relu:  E(x) = act(x U^T + b_U) D^T + b_D    no G; biases optional         (gelu: the tanh form)
//   linear:  E(x) = x U^T + b_U                       U: [D, D], no G, no D matrix
//
//   ExpertPack pack = pack_expert(compute, weights, /*for_backward=*/true);
//   ExpertGroup groups[] = {{&pack, tokens, weights, rows, first_entry}, ...};
//   experts_forward(compute, x, groups, out, &saved);
//   experts_backward(compute, x, groups, saved, dy, gradients, dx, dweights);
//
// An *entry* is one (token, expert) pair of the batch; a group is the entries of one expert, and the groups
// together hold the entries 0 .. N-1. An entry's output is bitwise the same whatever else is in the batch,
// for any number of threads. Any thread; the pool runs one loop at a time.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "agora/kernels/compute.h"
#include "agora/kernels/matmul.h"

namespace agora::kernels {

enum class Activation : uint8_t { swiglu, gelu, relu, linear };

// Borrowed views of one expert's f32 weights, in the layout of Hugging Face's checkpoints ([outputs,
// inputs]). Empty views mean absent.
struct ExpertWeights {
  View<const float> gate;       // [H, D]  swiglu only
  View<const float> up;         // [H, D]  ([D, D] for linear)
  View<const float> down;       // [D, H]  absent for linear
  View<const float> up_bias;    // [1, H]
  View<const float> down_bias;  // [1, D]
};

// The same shapes; gradients are added to what is there.
struct ExpertGradients {
  View<float> gate;
  View<float> up;
  View<float> down;
  View<float> up_bias;
  View<float> down_bias;
};

// One expert's weights in the order the kernels read. For swiglu `in` holds the panels of gate and up in turn
// (16 columns of gate, 16 of up, ...), so that the activation is applied while both are in registers.
struct ExpertPack {
  Activation activation = Activation::swiglu;
  int64_t d = 0;  // D
  int64_t h = 0;  // H
  PackedMatrix in;
  PackedMatrix down;
  PackedMatrix in_transposed;    // for dx; empty unless packed for backward
  PackedMatrix down_transposed;  // for dh; likewise
  std::vector<float> up_bias;
  std::vector<float> down_bias;
};
void repack_expert(const Compute& compute, Activation activation, const ExpertWeights& weights,
                   bool for_backward, ExpertPack& pack);
ExpertPack pack_expert(const Compute& compute, Activation activation, const ExpertWeights& weights,
                       bool for_backward);

struct ExpertGroup {
  const ExpertPack* pack = nullptr;
  const int32_t* tokens = nullptr;  // [rows] row numbers of x (and of dy)
  const float* weights = nullptr;   // [rows] what the gate gave each entry
  int64_t rows = 0;
  int64_t first_entry = 0;  // entries first_entry .. first_entry + rows - 1 are this group's, in this order
};

// What the backward pass needs again: the products before the activation, one row an entry.
// bf16 precision keeps bf16 ([N, 2H] for swiglu, [N, H] else), f32 keeps f32. Reused from call to call.
struct ExpertSaved {
  Buffer<bf16> hidden_bf16;
  Buffer<float> hidden_f32;
};

// out[entry, D] = weight(entry) * E(x[token(entry)]).  `saved` may be null when no backward will follow.
// Cost: rows * 6 D H operations for swiglu; a weight is read once for every 128 rows of its group.
void experts_forward(const Compute& compute, View<const float> x, std::span<const ExpertGroup> groups,
                     View<float> out, ExpertSaved* saved);

// dx[entry, D]     = weight(entry) * dE/dx^T . dy[token(entry)]     (the caller adds a token's entries up)
// dweights[entry]  = dy[token(entry)] . E(x[token(entry)])
// gradients[g]    += the weight gradients of groups[g]; a view left empty is skipped (frozen).
// on_rows, if given, is called once on this thread when dx and dweights are whole, with much of the work on
// weight gradients still to do: somebody may wait for those rows. No result changes by it.
void experts_backward(const Compute& compute, View<const float> x, std::span<const ExpertGroup> groups,
                      const ExpertSaved& saved, View<const float> dy,
                      std::span<const ExpertGradients> gradients, View<float> dx, std::span<float> dweights,
                      const std::function<void()>& on_rows = {});

}  // namespace agora::kernels
