// A small random generator whose whole state is two words: saved in checkpoints, the same on every machine.
//
//   Rng rng(seed);                  float u = rng.uniform();
//   Rng child = rng.fork("gate");   // an independent stream by name; does not advance the parent
//
// Algorithm: PCG-XSH-RR 64/32 (O'Neill 2014, "PCG: A Family of Simple Fast Space-Efficient ... Generators").
// Not for secrets. One thread at a time.
#pragma once

#include <cstdint>
#include <string_view>

namespace agora {

class Rng {
 public:
  struct State {
    uint64_t state = 0;
    uint64_t increment = 1;  // always odd; chooses the stream
    friend bool operator==(const State&, const State&) = default;
  };

  explicit Rng(uint64_t seed, uint64_t stream = 0);
  explicit Rng(State state) : state_(state) { state_.increment |= 1; }

  State state() const { return state_; }

  uint32_t next_u32();
  uint64_t next_u64();
  uint32_t below(uint32_t bound);  // uniform in [0, bound), unbiased; bound > 0
  float uniform();                 // in [0, 1), 24 bits
  double uniform_double();         // in [0, 1), 53 bits
  float normal();  // mean 0, deviation 1; two uniforms a call (Box-Muller), nothing kept between calls

  Rng fork(std::string_view name) const;
  Rng fork(uint64_t number) const;

 private:
  State state_;
};

// SplitMix64's mixing function: turns related numbers (seed, seed + 1) into unrelated ones.
uint64_t mix_bits(uint64_t x);

}  // namespace agora
