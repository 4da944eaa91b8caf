#include "apps/cli/explain_page_sections.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "apps/cli/explain_page.h"
#include "apps/cli/explain_page_html.h"
#include "apps/cli/terminal_table.h"

namespace agora::cli {
namespace {

using train::LayerSpecialisation;
using train::Table;

std::string cell(const std::string& html) { return absl::StrCat("<td>", html, "</td>"); }
std::string name_cell(const std::string& html) { return absl::StrCat("<td class=\"name\">", html, "</td>"); }
std::string number_cell(const std::string& text) { return absl::StrCat("<td class=\"num\">", text, "</td>"); }

std::string head(std::initializer_list<const char*> titles) {
  std::string out = "<thead><tr>";
  for (const std::string title : titles) {
    // A leading > marks a column of numbers.
    const bool numeric = title[0] == '>';
    absl::StrAppend(&out, numeric ? "<th class=\"num\">" : "<th>", numeric ? title.substr(1) : title,
                    "</th>");
  }
  return out + "</tr></thead>";
}

std::string caption(int64_t layer, const std::string& text) {
  return absl::StrFormat("<figcaption><b>Layer %d</b> &#160;%s</figcaption>", layer, text);
}

std::vector<std::string> domain_labels(const ExplainReport& report, int64_t domains) {
  std::vector<std::string> labels;
  for (int64_t d = 0; d < domains; ++d) labels.push_back(domain_name(report, d));
  return labels;
}

std::string domain_map(const ExplainReport& report, int64_t l, double maximum) {
  const LayerSpecialisation& layer = report.specialisation->layers[l];
  const std::vector<int64_t> order = experts_by_domain(layer);
  HeatMap map{.title = absl::StrCat("Layer ", l, ": share of each domain's gate weight by expert"),
              .row_labels = {},
              .column_labels = domain_labels(report, layer.mass_share.cols),
              .values = Table(layer.mass_share.rows, layer.mass_share.cols),
              .maximum = maximum,
              .scale = HeatScale::share,
              .value_name = " of the domain's gate weight",
              .row_name = "expert",
              .column_name = ""};
  for (size_t r = 0; r < order.size(); ++r) {
    map.row_labels.push_back(absl::StrCat(order[r]));
    for (int64_t d = 0; d < layer.mass_share.cols; ++d) {
      map.values.at(static_cast<int64_t>(r), d) = layer.mass_share.at(order[r], d);
    }
  }
  const std::string told = absl::StrFormat("%.3f bits", layer.information.bits);
  return absl::StrCat("<figure>", caption(l, told), heat_map_svg(map), "</figure>\n");
}

std::string information_table(const train::Specialisation& specialisation) {
  std::string out = "<details><summary>As a table</summary><div class=\"scroll\"><table>" +
                    head({">layer", ">bits", ">of what is possible", ">by chance, mean",
                          ">by chance, 95 % below", "p-value", ">sequences shuffled"}) +
                    "<tbody>\n";
  for (size_t l = 0; l < specialisation.layers.size(); ++l) {
    const train::MutualInformation& mi = specialisation.layers[l].information;
    absl::StrAppend(&out, "<tr>", number_cell(absl::StrCat(l)), number_cell(absl::StrFormat("%.4f", mi.bits)),
                    number_cell(absl::StrFormat("%.1f %%", 100 * mi.normalised)),
                    number_cell(absl::StrFormat("%.4f", mi.null_mean_bits)),
                    number_cell(absl::StrFormat("%.4f", mi.null_q95_bits)), name_cell(p_value_text(mi)));
    absl::StrAppend(&out, number_cell(with_thousands(mi.blocks)), "</tr>\n");
  }
  return out + "</tbody></table></div></details>\n";
}

std::string top_tokens(const ExplainReport& report, const std::vector<train::TopToken>& tokens) {
  std::string out;
  for (size_t i = 0; i < std::min(tokens.size(), static_cast<size_t>(kPageTopTokens)); ++i) {
    const train::TopToken& token = tokens[i];
    absl::StrAppendFormat(
        &out, "<code class=\"chip\" title=\"%s times, %.1f times its share\">%s<small>×%.1f</small></code>",
        with_thousands(token.count), token.lift, escape(token_text(report, token.token)), token.lift);
  }
  return out;
}

// What an expert row of any layer is measured against.
struct Maxima {
  double load = 0;
  double loss_change = 0;
};

Maxima maxima_of(const ExplainReport& report) {
  Maxima maxima;
  for (const LayerSpecialisation& layer : report.specialisation->layers) {
    for (const double load : layer.load) maxima.load = std::max(maxima.load, load);
  }
  if (!report.ablation) return maxima;
  for (const auto& layer : report.ablation->layers) {
    for (const train::ExpertAblation& expert : layer) {
      if (std::isfinite(expert.loss_change)) {
        maxima.loss_change = std::max(maxima.loss_change, std::abs(expert.loss_change));
      }
    }
  }
  return maxima;
}

std::string expert_row(const ExplainReport& report, size_t l, int64_t expert, const Maxima& maxima) {
  const LayerSpecialisation& layer = report.specialisation->layers[l];
  const double mean = 1.0 / static_cast<double>(layer.load.size());
  const int64_t domain = strongest_domain(layer, expert);
  std::string out =
      "<tr>" + cell(expert_badge(expert)) + cell(bar_svg(layer.load[expert], maxima.load, false, mean));
  out += number_cell(absl::StrFormat("%.1f %%", 100 * layer.load[expert]));
  out += name_cell(domain < 0 ? "–"
                              : absl::StrFormat("%s <span class=\"soft\">%.0f %%</span>",
                                                escape(domain_name(report, domain)),
                                                100 * layer.mass_share.at(expert, domain)));
  if (report.ablation) {
    const train::ExpertAblation* without = ablation_of(report, l, expert);
    if (without == nullptr) {
      out += "<td></td><td></td><td></td>";
    } else {
      out += cell(bar_svg(without->loss_change, maxima.loss_change, true, -1));
      out += number_cell(loss_change_text(*without));
      out += number_cell(absl::StrFormat("%.1f %%", 100 * without->changed_share));
    }
  }
  const bool known = expert < static_cast<int64_t>(layer.top_tokens.size());
  return out + cell(known ? top_tokens(report, layer.top_tokens[expert]) : "") + "</tr>\n";
}

// The co-activation map of the most loaded experts, those of one domain together.
std::string together_map(const LayerSpecialisation& layer, int64_t l, double maximum) {
  std::vector<int64_t> loaded = experts_by_load(layer, kPageExpertsTogetherMax);
  std::vector<int64_t> order;
  for (const int64_t expert : experts_by_domain(layer)) {
    if (std::ranges::find(loaded, expert) != loaded.end()) order.push_back(expert);
  }
  const auto shown = static_cast<int64_t>(order.size());
  HeatMap map{.title = absl::StrCat("Layer ", l, ": how often experts are chosen together, against chance"),
              .row_labels = {},
              .column_labels = {},
              .values = Table(shown, shown),
              .maximum = maximum,
              .scale = HeatScale::lift,
              .value_name = "",
              .row_name = "experts",
              .column_name = "and"};
  for (int64_t a = 0; a < shown; ++a) {
    map.row_labels.push_back(absl::StrCat(order[a]));
    map.column_labels.push_back(absl::StrCat(order[a]));
    for (int64_t b = 0; b < shown; ++b) map.values.at(a, b) = layer.together_lift.at(order[a], order[b]);
  }
  const auto all = static_cast<int64_t>(layer.load.size());
  const std::string what = shown < all ? absl::StrFormat("the %d most loaded of %d", shown, all) : "";
  return absl::StrCat("<figure>", caption(l, what), heat_map_svg(map), "</figure>\n");
}

std::string pairs_table(const train::Specialisation& specialisation) {
  constexpr int64_t kPairs = 8;
  std::string out = absl::StrFormat(
      "<details><summary>As a table: each layer's pairs furthest above chance (seen at least %d "
      "times)</summary>"
      "<div class=\"scroll\"><table>%s<tbody>\n",
      kPairTokensMin, head({">layer", "experts", ">tokens", ">times chance"}));
  for (size_t l = 0; l < specialisation.layers.size(); ++l) {
    for (const ExpertPair& pair : pairs_by_lift(specialisation.layers[l], kPairTokensMin, kPairs)) {
      absl::StrAppend(&out, "<tr>", number_cell(absl::StrCat(l)),
                      cell(absl::StrCat(expert_badge(pair.a), " ", expert_badge(pair.b))),
                      number_cell(with_thousands(pair.tokens)),
                      number_cell(absl::StrFormat("%.2f", pair.lift)), "</tr>\n");
    }
  }
  return out + "</tbody></table></div></details>\n";
}

}  // namespace

int expert_hue(int64_t expert) {
  return static_cast<int>(std::fmod(static_cast<double>(expert) * 137.508 + 210, 360));
}

std::string expert_badge(int64_t expert) {
  return absl::StrFormat("<span class=\"e\" style=\"--h:%d\">%d</span>", expert_hue(expert), expert);
}

std::string domain_section(const ExplainReport& report) {
  if (!report.specialisation || report.specialisation->layers.empty()) return "";
  const train::Specialisation& specialisation = *report.specialisation;
  std::vector<train::MutualInformation> layers;
  double maximum = 0;
  for (const LayerSpecialisation& layer : specialisation.layers) {
    layers.push_back(layer.information);
    for (const double share : layer.mass_share.cells) maximum = std::max(maximum, share);
  }
  std::string out = "<section id=\"domains\"><h2>Which expert serves which domain</h2>\n";
  out +=
      "<p class=\"soft\">How many bits the choice of an expert tells of its token's domain, beside what "
      "chance makes of "
      "such data: the same count after the domains were dealt anew to whole sequences, ";
  absl::StrAppend(&out, layers[0].permutations, " times.</p>\n");
  absl::StrAppend(&out, "<figure>", information_svg(layers), "</figure>\n");
  out += "<p><span class=\"key\"><i class=\"point\"></i>observed</span>";
  out += "<span class=\"key\"><i class=\"band\"></i>chance, up to its 95 % quantile</span></p>\n";
  out += information_table(specialisation);
  out += "<h3 style=\"margin-top:26px\">Share of each domain's gate weight, in percent</h3>\n";
  absl::StrAppendFormat(
      &out,
      "<p><span class=\"key\">0<i class=\"share\"></i>%.0f %%</span><span class=\"soft\">An even "
      "spread would put %.1f %% everywhere. Experts of one domain stand together.</span></p>\n",
      100 * maximum, 100.0 / static_cast<double>(specialisation.layers[0].load.size()));
  out += "<div class=\"grid\">";
  for (size_t l = 0; l < layers.size(); ++l) out += domain_map(report, static_cast<int64_t>(l), maximum);
  return out + "</div></section>\n";
}

std::string expert_section(const ExplainReport& report) {
  if (!report.specialisation || report.specialisation->layers.empty()) return "";
  const Maxima maxima = maxima_of(report);
  std::string out = "<section id=\"experts\"><h2>The experts, layer by layer</h2>\n";
  out += "<p class=\"soft\">Load: share of all choices; the dashed line is the mean. ";
  if (report.ablation) {
    absl::StrAppendFormat(
        &out,
        "Without it: what happens to the loss (%.4f nats per token over %s tokens) when the expert "
        "does not answer, and how many of the likeliest next tokens change. ",
        report.ablation->loss, with_thousands(report.ablation->tokens));
  }
  out += "Top tokens: those it gets more than their share of, and how many times more";
  out += report.specialisation->top_tokens_exact ? ".</p>\n" : " (counts are lower bounds).</p>\n";
  for (size_t l = 0; l < report.specialisation->layers.size(); ++l) {
    absl::StrAppendFormat(
        &out, "<details class=\"layer\"%s><summary>Layer %d</summary><div class=\"scroll\"><table>",
        l == 0 ? " open=\"open\"" : "", l);
    out += report.ablation ? head({"expert", "load", "", "strongest domain", "without it: loss", "",
                                   ">changed", "top tokens"})
                           : head({"expert", "load", "", "strongest domain", "top tokens"});
    out += "<tbody>\n";
    for (const int64_t expert : experts_by_domain(report.specialisation->layers[l])) {
      out += expert_row(report, l, expert, maxima);
    }
    out += "</tbody></table></div></details>\n";
  }
  return out + "</section>\n";
}

std::string together_section(const ExplainReport& report) {
  if (!report.specialisation || report.specialisation->layers.empty()) return "";
  constexpr double kLiftShownMax = 8;  // beyond it the colour does not get stronger
  double maximum = 2;
  for (const LayerSpecialisation& layer : report.specialisation->layers) {
    for (const double lift : layer.together_lift.cells)
      maximum = std::max(maximum, std::min(lift, kLiftShownMax));
  }
  std::string out = "<section id=\"together\"><h2>Which experts are chosen together</h2>\n";
  absl::StrAppendFormat(
      &out,
      "<p><span class=\"key\">1/%.1f<i class=\"lift\"></i>%.1f times chance</span><span class=\"soft\">"
      "Chance: pairs of experts with such loads, on the average.</span></p>\n<div class=\"grid\">",
      maximum, maximum);
  for (size_t l = 0; l < report.specialisation->layers.size(); ++l) {
    out += together_map(report.specialisation->layers[l], static_cast<int64_t>(l), maximum);
  }
  return out + "</div>" + pairs_table(*report.specialisation) + "</section>\n";
}

std::string balance_section(const ExplainReport& report) {
  if (!report.specialisation || report.specialisation->layers.empty()) return "";
  std::string out = "<section id=\"balance\"><h2>How evenly the work is spread</h2>\n";
  out +=
      "<p class=\"soft\">MaxVio: how far the most loaded expert is above the mean (0: even). Routing entropy "
      "of the "
      "load: at its highest when every expert gets the same; of a token: how evenly it mixes the experts "
      "that it "
      "chose.</p>\n<div class=\"scroll\"><table>";
  out += head({">layer", ">tokens", ">MaxVio", ">variation", ">entropy of the load", ">at most",
               ">entropy of a token"});
  out += "<tbody>\n";
  for (size_t l = 0; l < report.specialisation->layers.size(); ++l) {
    const LayerSpecialisation& layer = report.specialisation->layers[l];
    const train::Balance& balance = layer.balance;
    absl::StrAppend(&out, "<tr>", number_cell(absl::StrCat(l)), number_cell(with_thousands(layer.tokens)));
    for (const double value : {balance.max_violation, balance.variation, balance.load_entropy,
                               balance.load_entropy_max, balance.token_entropy}) {
      out += number_cell(absl::StrFormat("%.3f", value));
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table></div></section>\n";
}

}  // namespace agora::cli
