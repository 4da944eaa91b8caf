#include "apps/cli/explain_text.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "apps/cli/terminal_heat_map.h"
#include "apps/cli/terminal_table.h"
#include "apps/cli/terminal_text.h"

namespace agora::cli {
namespace {

using model::ChosenExpert;
using train::LayerSpecialisation;
using model::LayerTrace;
using model::TokenTrace;

std::string heading(const std::string& text, const TerminalDevice& device) {
  return absl::StrCat("\n", bold(text, device), "\n");
}

// The numbers of the experts that come first somewhere, each on its colour.
std::string colour_key(const ExplainReport& report, const TerminalDevice& device) {
  std::set<int64_t> experts;
  for (const TokenTrace& token : report.trace) {
    for (const LayerTrace& layer : token.layers) {
      if (!layer.choices.empty()) experts.insert(layer.choices[0].expert.value);
    }
  }
  std::string out = "colour: the expert with the most weight ";
  for (const int64_t expert : experts)
    absl::StrAppend(&out, " ", on_colour(absl::StrCat(" ", expert, " "), expert, device));
  return out + "\n";
}

// The text once for each layer, every token on the colour of its first expert.
std::string coloured_text(const ExplainReport& report, size_t layer, const TerminalDevice& device) {
  std::string out = absl::StrFormat("layer %d\n", layer);
  int width = 0;
  for (const TokenTrace& token : report.trace) {
    const std::string text = visible_text(token.text);
    const int columns = display_width(text);
    if (width > 0 && width + columns > device.columns) {
      out += "\n";
      width = 0;
    }
    const std::vector<ChosenExpert>& choices = token.layers[layer].choices;
    out += choices.empty() ? text : on_colour(text, choices[0].expert.value, device);
    width += columns;
    if (token.text.find('\n') != std::string::npos) {
      out += "\n";
      width = 0;
    }
  }
  return out + (width > 0 ? "\n" : "");
}

std::string scored(int64_t expert, float score, float bias) {
  if (bias == 0) return absl::StrFormat("%d %.3f", expert, score);
  return absl::StrFormat("%d %.3f%+.3f", expert, score, bias);
}

std::string trace_table(const ExplainReport& report, const TerminalDevice& device) {
  TerminalTable table({{"#", Align::right},
                       {"token"},
                       {"layer", Align::right},
                       {"experts (weight)"},
                       {"score+bias"},
                       {"runner-up"},
                       {"margin", Align::right}});
  for (const TokenTrace& token : report.trace) {
    for (size_t l = 0; l < token.layers.size(); ++l) {
      const LayerTrace& layer = token.layers[l];
      std::string experts;
      std::string scores;
      for (const ChosenExpert& choice : layer.choices) {
        const char* gap = experts.empty() ? "" : ", ";
        absl::StrAppend(&experts, gap, absl::StrFormat("%d (%.2f)", choice.expert.value, choice.weight));
        absl::StrAppend(&scores, gap, scored(choice.expert.value, choice.score, choice.bias));
      }
      const auto& next = layer.runner_up;
      table.add_row({l == 0 ? absl::StrCat(token.position) : "", l == 0 ? token.text : "", absl::StrCat(l),
                     experts, scores, next ? scored(next->expert.value, next->score, next->bias) : "",
                     next ? absl::StrFormat("%.3f", layer.margin) : ""});
    }
  }
  return table.text(device.columns);
}

std::string trace_text(const ExplainReport& report, const TerminalDevice& device) {
  if (report.trace.empty()) return "";
  std::string out = heading("The text, token by token", device);
  if (device.colour) {
    out += colour_key(report, device);
    for (size_t l = 0; l < report.trace[0].layers.size(); ++l) out += coloured_text(report, l, device);
    out += "\n";
  }
  return out + trace_table(report, device);
}

std::string domain_map(const ExplainReport& report, size_t l, double maximum, const TerminalDevice& device) {
  const LayerSpecialisation& layer = report.specialisation->layers[l];
  TerminalHeatMap map{.row_title = "expert",
                      .row_labels = {},
                      .column_labels = {},
                      .values = train::Table(layer.mass_share.rows, layer.mass_share.cols),
                      .maximum = maximum};
  for (int64_t d = 0; d < layer.mass_share.cols; ++d) map.column_labels.push_back(domain_name(report, d));
  int64_t row = 0;
  for (const int64_t expert : experts_by_domain(layer)) {
    map.row_labels.push_back(absl::StrCat(expert));
    for (int64_t d = 0; d < layer.mass_share.cols; ++d)
      map.values.at(row, d) = layer.mass_share.at(expert, d);
    ++row;
  }
  return absl::StrCat("\n", information_sentence(layer.information, static_cast<int64_t>(l)), "\n",
                      heat_map_text(map, device));
}

std::string domains_text(const ExplainReport& report, const TerminalDevice& device) {
  double maximum = 0;
  for (const LayerSpecialisation& layer : report.specialisation->layers) {
    for (const double share : layer.mass_share.cells) maximum = std::max(maximum, share);
  }
  std::string out = heading("Which expert serves which domain", device);
  absl::StrAppend(&out, "percent of each domain's gate weight   ", heat_legend(maximum, device), "\n");
  for (size_t l = 0; l < report.specialisation->layers.size(); ++l)
    out += domain_map(report, l, maximum, device);
  return out;
}

std::string top_tokens_text(const ExplainReport& report, const std::vector<train::TopToken>& tokens) {
  std::string out;
  for (size_t i = 0; i < std::min(tokens.size(), static_cast<size_t>(kTextTopTokens)); ++i) {
    absl::StrAppend(&out, out.empty() ? "" : "  ", token_text(report, tokens[i].token),
                    absl::StrFormat("×%.1f", tokens[i].lift));
  }
  return out;
}

std::string experts_table(const ExplainReport& report, size_t l, const TerminalDevice& device) {
  const LayerSpecialisation& layer = report.specialisation->layers[l];
  TerminalTable table({{"expert", Align::right},
                       {"load", Align::right},
                       {"strongest domain"},
                       {"loss without", Align::right},
                       {"changed", Align::right},
                       {"top tokens"}});
  for (const int64_t expert : experts_by_domain(layer)) {
    const int64_t domain = strongest_domain(layer, expert);
    const train::ExpertAblation* without = ablation_of(report, l, expert);
    const std::string share = domain < 0 ? ""
                                         : absl::StrFormat("%s %.0f %%", domain_name(report, domain),
                                                           100 * layer.mass_share.at(expert, domain));
    table.add_row({absl::StrCat(expert), absl::StrFormat("%.1f %%", 100 * layer.load[expert]), share,
                   without ? loss_change_text(*without) : "",
                   without ? absl::StrFormat("%.1f %%", 100 * without->changed_share) : "",
                   top_tokens_text(report, layer.top_tokens[expert])});
  }
  return absl::StrCat("\nlayer ", l, "\n", table.text(device.columns));
}

std::string experts_text(const ExplainReport& report, const TerminalDevice& device) {
  std::string out = heading("The experts, layer by layer", device);
  if (report.ablation) {
    absl::StrAppendFormat(&out, "loss without: change of the loss, %.4f nats per token with every expert\n",
                          report.ablation->loss);
  }
  for (size_t l = 0; l < report.specialisation->layers.size(); ++l) out += experts_table(report, l, device);
  return out;
}

std::string together_text(const ExplainReport& report, const TerminalDevice& device) {
  TerminalTable table({{"layer", Align::right}, {"chosen together most, against chance"}});
  for (size_t l = 0; l < report.specialisation->layers.size(); ++l) {
    std::string pairs;
    for (const ExpertPair& pair :
         pairs_by_lift(report.specialisation->layers[l], kPairTokensMin, kTextPairs)) {
      absl::StrAppend(&pairs, pairs.empty() ? "" : "   ",
                      absl::StrFormat("%d+%d ×%.1f", pair.a, pair.b, pair.lift));
    }
    table.add_row({absl::StrCat(l), pairs});
  }
  return heading("Which experts are chosen together", device) + table.text(device.columns);
}

std::string balance_text(const ExplainReport& report, const TerminalDevice& device) {
  TerminalTable table({{"layer", Align::right},
                       {"tokens", Align::right},
                       {"MaxVio", Align::right},
                       {"variation", Align::right},
                       {"load entropy", Align::right},
                       {"at most", Align::right},
                       {"token entropy", Align::right}});
  for (size_t l = 0; l < report.specialisation->layers.size(); ++l) {
    const LayerSpecialisation& layer = report.specialisation->layers[l];
    const train::Balance& balance = layer.balance;
    std::vector<std::string> cells = {absl::StrCat(l), with_thousands(layer.tokens)};
    for (const double value : {balance.max_violation, balance.variation, balance.load_entropy,
                               balance.load_entropy_max, balance.token_entropy}) {
      cells.push_back(absl::StrFormat("%.3f", value));
    }
    table.add_row(std::move(cells));
  }
  return heading("How evenly the work is spread (entropies in bits)", device) + table.text(device.columns);
}

}  // namespace

std::string explain_text(const ExplainReport& report, const TerminalDevice& device) {
  std::string out = bold(visible_text(report.model), device) + "\n";
  for (const auto& [label, value] : report.summary) {
    absl::StrAppend(&out, fit(visible_text(label), 14, Align::left), " ", visible_text(value), "\n");
  }
  out += trace_text(report, device);
  if (!report.specialisation || report.specialisation->layers.empty()) return out;
  return out + domains_text(report, device) + experts_text(report, device) + together_text(report, device) +
         balance_text(report, device);
}

}  // namespace agora::cli
