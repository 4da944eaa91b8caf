// Everything `agora explain` has to say, before it is said: explain_text.h, explain_page.h and explain_json.h
// say it.
//
//   ExplainReport report{.model = "build/model", .summary = {{"parameters", "5.3 M"}}, .trace = trace};
//   report.specialisation = meter.specialisation(rng);
//   std::cout << explain_text(report, device);
//
// A value type. token_text is called while the report is said, by one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agora/model/token_trace.h"
#include "agora/train/specialisation.h"

namespace agora::cli {

struct ExplainReport {
  std::string model;  // the folder, or the name, as the user gave it
  std::vector<std::pair<std::string, std::string>>
      summary;                                // what to know of the model: label and value, in order
  std::vector<model::TokenTrace> trace = {};  // empty: no text was given
  std::vector<std::string> domains = {};      // [D] names
  std::optional<train::Specialisation> specialisation = {};  // none: no data set was given
  std::optional<train::Ablation> ablation = {};
  std::function<std::string(int32_t token)> token_text =
      {};  // the token's bytes; empty: tokens are shown as numbers
};

// The bytes of a token of the vocabulary.
std::string token_text(const ExplainReport& report, int32_t token);

// The name of a domain; its number where the report has no name for it.
std::string domain_name(const ExplainReport& report, int64_t domain);

// The domain of which the expert has the largest share of gate weight; -1 where it got none.
int64_t strongest_domain(const train::LayerSpecialisation& layer, int64_t expert);

// The layer's experts so that those of one domain stand together, the stronger first. Experts that no token
// chose last.
std::vector<int64_t> experts_by_domain(const train::LayerSpecialisation& layer);

// The layer's experts, the most loaded first, at most `limit`.
std::vector<int64_t> experts_by_load(const train::LayerSpecialisation& layer, int64_t limit);

// What happens without the expert; nullptr where the report does not know.
const train::ExpertAblation* ablation_of(const ExplainReport& report, size_t layer, int64_t expert);

// "+0.0123"; "?" where the loss without the expert is no number.
std::string loss_change_text(const train::ExpertAblation& without);

// A pair of experts that tokens chose together.
struct ExpertPair {
  int64_t a = 0;
  int64_t b = 0;
  int64_t tokens = 0;
  double lift = 0;
};

constexpr int64_t kPairTokensMin = 20;  // a pair seen less often is rare, not telling

// The pairs seen at least `tokens_min` times, by lift, the highest first, at most `limit`.
std::vector<ExpertPair> pairs_by_lift(const train::LayerSpecialisation& layer, int64_t tokens_min,
                                      int64_t limit);

// One sentence on what the mutual information of a layer says; `layer` counts from 0.
std::string information_sentence(const train::MutualInformation& information, int64_t layer);

// "p = 0.124", "p ≤ 0.005".
std::string p_value_text(const train::MutualInformation& information);

}  // namespace agora::cli
