#include "agora/serve/sampler.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <unordered_set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace agora::serve {
namespace {

std::string spelled(const char* key, Spelling spelling) {
  if (spelling == Spelling::key) return absl::StrCat("ask: ", key);
  return absl::StrCat("--", absl::StrReplaceAll(key, {{"_", "-"}}));
}

}  // namespace

Status validate(const SamplerSettings& s, Spelling spelling) {
  const auto expect = [spelling](bool holds, const char* key, const char* range, double value) -> Status {
    if (holds) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(spelled(key, spelling), ": expected ", range, ", found ", value));
  };
  AGORA_RETURN_IF_ERROR(
      expect(s.temperature >= 0 && s.temperature <= 100, "temperature", "0 to 100", s.temperature));
  AGORA_RETURN_IF_ERROR(expect(s.top_p > 0 && s.top_p <= 1, "top_p", "above 0, at most 1", s.top_p));
  AGORA_RETURN_IF_ERROR(expect(s.top_k >= 0, "top_k", "0 (all) or more", static_cast<double>(s.top_k)));
  AGORA_RETURN_IF_ERROR(expect(s.repetition_window >= 0, "repetition_window", "0 (nothing) or more",
                               static_cast<double>(s.repetition_window)));
  return expect(s.repetition_penalty >= 1 && s.repetition_penalty <= 10, "repetition_penalty", "1 to 10",
                s.repetition_penalty);
}

Sampler::Sampler(const SamplerSettings& settings)
    : settings_(settings), rng_(Rng(settings.seed).fork("sampler")) {}

void Sampler::penalise(std::span<const int32_t> history) {
  if (settings_.repetition_penalty == 1.0f) return;
  const auto window = std::min<size_t>(history.size(), static_cast<size_t>(settings_.repetition_window));
  const auto recent = history.last(window);
  const std::unordered_set<int32_t> seen(recent.begin(), recent.end());
  for (Candidate& candidate : candidates_) {
    if (!seen.contains(candidate.token)) continue;
    candidate.score = candidate.score > 0 ? candidate.score / settings_.repetition_penalty
                                          : candidate.score * settings_.repetition_penalty;
  }
}

// Sorts the candidates, turns scores into shares and cuts the tail that top-k and top-p leave out.
void Sampler::keep_likeliest() {
  std::ranges::sort(candidates_, [](const Candidate& a, const Candidate& b) {
    return a.score != b.score ? a.score > b.score : a.token < b.token;
  });
  if (settings_.top_k > 0 && static_cast<size_t>(settings_.top_k) < candidates_.size()) {
    candidates_.resize(static_cast<size_t>(settings_.top_k));
  }
  const float best = candidates_.front().score;
  double sum = 0;
  for (Candidate& candidate : candidates_) {
    candidate.score = std::exp((candidate.score - best) / settings_.temperature);
    sum += candidate.score;
  }
  double held = 0;
  size_t kept = 0;
  while (kept < candidates_.size() && held < settings_.top_p * sum) held += candidates_[kept++].score;
  candidates_.resize(std::max<size_t>(kept, 1));
}

void Sampler::skip(int64_t tokens) {
  if (settings_.temperature == 0) return;
  for (int64_t i = 0; i < tokens; ++i) rng_.uniform_double();
}

int32_t Sampler::sample(std::span<const float> logits, std::span<const int32_t> history) {
  candidates_.clear();
  for (size_t v = 0; v < logits.size(); ++v) candidates_.push_back({logits[v], static_cast<int32_t>(v)});
  penalise(history);
  if (settings_.temperature == 0) {
    return std::ranges::max_element(candidates_, {}, &Candidate::score)->token;
  }
  keep_likeliest();
  double sum = 0;
  for (const Candidate& candidate : candidates_) sum += candidate.score;
  double left = rng_.uniform_double() * sum;
  for (const Candidate& candidate : candidates_) {
    left -= candidate.score;
    if (left < 0) return candidate.token;
  }
  return candidates_.back().token;
}

}  // namespace agora::serve
