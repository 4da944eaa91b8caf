// Turns the scores of the next token into a token.
//
//   Sampler sampler({.temperature = 0.8f, .top_p = 0.95f, .seed = 7});
//   int32_t token = sampler.sample(logits, history);
//
// Order of work: repetition penalty, temperature, top-k, top-p (Holtzman 2020), draw. Temperature 0 takes the
// best (the lower number on a tie). The same seed and scores give the same tokens. One thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "agora/base/result.h"
#include "agora/base/rng.h"

namespace agora::serve {

struct SamplerSettings {
  float temperature = 0.8f;
  float top_p = 1.0f;  // keep the likeliest tokens that hold this share; (0, 1]
  int64_t top_k = 0;   // keep this many; 0: all
  float repetition_penalty =
      1.0f;  // scores of tokens seen before are divided by it (Keskar 2019, CTRL); >= 1
  int64_t repetition_window = 256;  // how far back "seen before" looks
  uint64_t seed = 1;
  friend bool operator==(const SamplerSettings&, const SamplerSettings&) = default;
};

// As whoever gave the settings has written them: ask: top_p in a request, --top-p on a command line.
enum class Spelling : uint8_t { key, flag };

// InvalidArgument names the setting, its range and what came.
Status validate(const SamplerSettings& settings, Spelling spelling = Spelling::key);

class Sampler {
 public:
  explicit Sampler(const SamplerSettings& settings);

  // logits [V]; history: the tokens so far, the last one latest.
  int32_t sample(std::span<const float> logits, std::span<const int32_t> history);
  // As if so many tokens had been sampled: goes on where another sampler of these settings was.
  void skip(int64_t tokens);

 private:
  struct Candidate {
    float score;
    int32_t token;
  };
  void penalise(std::span<const int32_t> history);
  void keep_likeliest();

  SamplerSettings settings_;
  Rng rng_;
  std::vector<Candidate> candidates_;
};

}  // namespace agora::serve
