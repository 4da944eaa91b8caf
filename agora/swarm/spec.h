// What all peers of a swarm agree on, for ever: its hash is the swarm's name.
//
//   AGORA_ASSIGN_OR_RETURN(SwarmSpec spec, read_spec(bytes));   spec.id();
//
// A joining peer gets the bytes from any living one and checks the hash against the SwarmId of that peer's
// record. A value type; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "agora/base/bytes.h"
#include "agora/base/result.h"
#include "agora/moe/expert/expert.h"
#include "agora/peers/peer_id.h"

namespace agora::swarm {

// When hosts step their optimizers.
enum class UpdateMode : uint8_t {
  synchronous,   // when the trainer ends its step: one trainer, bitwise repeatable
  asynchronous,  // when enough rows have come or a timer fires: many trainers
};

struct SwarmSpec {
  std::string name;
  // The model's folder without weights: config.json, tokenizer files; by file name.
  std::map<std::string, std::string> files;
  std::string recipe;  // TOML of the training options; trainers read it, nobody else

  // The experts, as the model's config says; repeated here for peers that know no model.
  int64_t layers = 0;       // L
  int64_t experts = 0;      // E at the start; more may be added while running
  int64_t experts_max = 0;  // a gate scores so many at most
  moe::ExpertShape shape;
  bool bf16 = true;   // kernels' precision
  uint64_t seed = 1;  // of every first weight, forked by the parameter's name

  UpdateMode updates = UpdateMode::asynchronous;
  int32_t replicas = 2;              // wanted of each expert, the leader included
  double loss_window_s = 10;         // followers pull at least so often
  moe::StepSettings step;            // the hosts' optimizers; learning_rate is the peak
  int64_t rows_per_step = 512;       // asynchronous: an expert steps after so many rows ...
  double step_seconds_max = 2;       // ... or so long after the first of them
  int64_t age_max = 64;              // versions; an update computed on older weights is refused
  double gradient_norm_limit = 1e4;  // of one call's dy; beyond: refused

  std::string bytes() const;  // canonical: equal specs have equal bytes
  peers::SwarmId id() const;  // SHA-256 of bytes()
};

constexpr size_t kSpecBytesMax = 64 << 20;

// InvalidArgument naming the field.
StatusOr<SwarmSpec> read_spec(base::Bytes bytes);
Status validate(const SwarmSpec& spec);

}  // namespace agora::swarm
