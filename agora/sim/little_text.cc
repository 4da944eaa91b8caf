#include "agora/sim/little_text.h"

#include <array>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "agora/base/rng.h"
#include "agora/base/text.h"

namespace agora::sim {
namespace {

using base::concat;

template <size_t N>
std::string_view any(Rng& rng, const std::array<std::string_view, N>& words) {
  return words[rng.below(N)];
}

constexpr std::array<std::string_view, 8> kAnimals = {"cat", "dog", "fox", "owl", "hen", "bee", "ant", "cow"};
constexpr std::array<std::string_view, 6> kColours = {"red", "old", "small", "quick", "brown", "quiet"};
constexpr std::array<std::string_view, 6> kDeeds = {"see", "find", "follow", "like", "wake", "warn"};

// One animal does, several do.
std::string sentence(Rng& rng) {
  const bool many = rng.below(2) == 0;
  return concat("the ", any(rng, kColours), " ", any(rng, kAnimals), many ? "s " : " ", any(rng, kDeeds),
                many ? " the " : "s the ", any(rng, kAnimals), ".\n");
}

std::string sum(Rng& rng) {
  const uint32_t a = rng.below(10), b = rng.below(10);
  return concat(a, "+", b, "=", a + b, "\n");
}

std::string counting(Rng& rng) {
  const uint32_t from = rng.below(90);
  std::string line;
  for (uint32_t n = from; n < from + 6; ++n) line += concat(n, " ");
  return line + "\n";
}

}  // namespace

train::Corpus little_text(uint64_t seed, size_t bytes_of_each) {
  const Rng rng(seed);
  train::Corpus corpus;
  for (const auto& [name, line] :
       {std::pair<std::string, std::function<std::string(Rng&)>>{"counting", counting},
        {"sentences", sentence},
        {"sums", sum}}) {
    Rng draws = rng.fork(name);
    std::string text;
    while (text.size() < bytes_of_each) text += line(draws);
    train::Domain domain{.name = name, .train = {}, .validation = {}};
    domain.train.push_back({.name = name, .text = std::move(text)});
    corpus.domains.push_back(std::move(domain));
  }
  return corpus;
}

}  // namespace agora::sim
