#include "agora/base/rng.h"

#include <cmath>
#include <numbers>

namespace agora {

uint64_t mix_bits(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

Rng::Rng(uint64_t seed, uint64_t stream) {
  state_.increment = (mix_bits(stream) << 1) | 1;
  state_.state = mix_bits(seed) + state_.increment;
  next_u32();
}

uint32_t Rng::next_u32() {
  const uint64_t old = state_.state;
  state_.state = old * 6364136223846793005u + state_.increment;
  const auto xorshifted = static_cast<uint32_t>(((old >> 18) ^ old) >> 27);
  const auto rotation = static_cast<uint32_t>(old >> 59);
  return (xorshifted >> rotation) | (xorshifted << ((32 - rotation) & 31));
}

uint64_t Rng::next_u64() {
  const uint64_t high = next_u32();
  return (high << 32) | next_u32();
}

// Lemire 2019, "Fast Random Integer Generation in an Interval".
uint32_t Rng::below(uint32_t bound) {
  uint64_t product = uint64_t{next_u32()} * bound;
  if (static_cast<uint32_t>(product) < bound) {
    const uint32_t threshold = (0u - bound) % bound;
    while (static_cast<uint32_t>(product) < threshold) product = uint64_t{next_u32()} * bound;
  }
  return static_cast<uint32_t>(product >> 32);
}

float Rng::uniform() { return static_cast<float>(next_u32() >> 8) * 0x1p-24f; }

double Rng::uniform_double() { return static_cast<double>(next_u64() >> 11) * 0x1p-53; }

float Rng::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform_double()));
  return static_cast<float>(radius * std::cos(2.0 * std::numbers::pi * uniform_double()));
}

Rng Rng::fork(uint64_t number) const {
  return Rng(mix_bits(state_.state ^ mix_bits(number)), mix_bits(state_.increment) + number);
}

// FNV-1a over the name.
Rng Rng::fork(std::string_view name) const {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return fork(hash);
}

}  // namespace agora
