#include "apps/cli/explain_report.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace agora::cli {
namespace {

std::vector<int64_t> all_experts(const train::LayerSpecialisation& layer) {
  std::vector<int64_t> experts(layer.load.size());
  std::iota(experts.begin(), experts.end(), 0);
  return experts;
}

}  // namespace

std::string token_text(const ExplainReport& report, int32_t token) {
  return report.token_text ? report.token_text(token) : absl::StrCat("#", token);
}

std::string domain_name(const ExplainReport& report, int64_t domain) {
  const bool named = domain >= 0 && domain < static_cast<int64_t>(report.domains.size());
  return named ? report.domains[domain] : absl::StrCat("domain ", domain);
}

int64_t strongest_domain(const train::LayerSpecialisation& layer, int64_t expert) {
  int64_t strongest = -1;
  for (int64_t d = 0; d < layer.mass_share.cols; ++d) {
    const double share = layer.mass_share.at(expert, d);
    if (share > 0 && (strongest < 0 || share > layer.mass_share.at(expert, strongest))) strongest = d;
  }
  return strongest;
}

std::vector<int64_t> experts_by_domain(const train::LayerSpecialisation& layer) {
  std::vector<int64_t> experts = all_experts(layer);
  std::ranges::stable_sort(experts, {}, [&layer](int64_t expert) {
    const int64_t domain = strongest_domain(layer, expert);
    const bool idle = domain < 0;
    return std::tuple(idle, domain, idle ? 0.0 : -layer.mass_share.at(expert, domain));
  });
  return experts;
}

std::vector<int64_t> experts_by_load(const train::LayerSpecialisation& layer, int64_t limit) {
  std::vector<int64_t> experts = all_experts(layer);
  std::ranges::stable_sort(experts, std::greater{}, [&layer](int64_t expert) { return layer.load[expert]; });
  if (static_cast<int64_t>(experts.size()) > limit) experts.resize(static_cast<size_t>(limit));
  return experts;
}

const train::ExpertAblation* ablation_of(const ExplainReport& report, size_t layer, int64_t expert) {
  if (!report.ablation || layer >= report.ablation->layers.size()) return nullptr;
  const std::vector<train::ExpertAblation>& experts = report.ablation->layers[layer];
  return expert < static_cast<int64_t>(experts.size()) ? &experts[expert] : nullptr;
}

std::string loss_change_text(const train::ExpertAblation& without) {
  return std::isfinite(without.loss_change) ? absl::StrFormat("%+.4f", without.loss_change) : "?";
}

std::vector<ExpertPair> pairs_by_lift(const train::LayerSpecialisation& layer, int64_t tokens_min,
                                      int64_t limit) {
  std::vector<ExpertPair> pairs;
  for (int64_t a = 0; a < layer.together.rows; ++a) {
    for (int64_t b = a + 1; b < layer.together.cols; ++b) {
      const auto tokens = static_cast<int64_t>(layer.together.at(a, b));
      if (tokens < tokens_min || tokens == 0) continue;
      pairs.push_back({.a = a, .b = b, .tokens = tokens, .lift = layer.together_lift.at(a, b)});
    }
  }
  std::ranges::stable_sort(pairs, std::greater{}, &ExpertPair::lift);
  if (static_cast<int64_t>(pairs.size()) > limit) pairs.resize(static_cast<size_t>(limit));
  return pairs;
}

std::string information_sentence(const train::MutualInformation& information, int64_t layer) {
  constexpr double kSignificance = 0.05;
  const char* verdict = information.p_value > kSignificance ? "no more than chance" : "more than chance";
  return absl::StrFormat(
      "layer %d: an expert tells %.3f bits of its token's domain, chance alone %.3f (%s): %s", layer,
      information.bits, information.null_mean_bits, p_value_text(information), verdict);
}

std::string p_value_text(const train::MutualInformation& information) {
  // The smallest p-value that so many permutations can show: the truth may be below it.
  const double smallest = 1.0 / static_cast<double>(1 + information.permutations);
  return absl::StrFormat("p %s %.3f", information.p_value < 1.5 * smallest ? "≤" : "=", information.p_value);
}

}  // namespace agora::cli
