#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "apps/cli/explain_page.h"
#include "apps/cli/explain_page_html.h"
#include "apps/cli/explain_page_sections.h"
#include "apps/cli/terminal_table.h"

namespace agora::cli {
namespace {

using model::ChosenExpert;
using model::LayerTrace;
using model::TokenTrace;

int64_t layers_of(const ExplainReport& report) {
  return report.trace.empty() ? 0 : static_cast<int64_t>(report.trace[0].layers.size());
}

bool shows_all_layers(const ExplainReport& report) {
  return layers_of(report) > 1 && layers_of(report) <= kPageLayersTogetherMax;
}

size_t shown_tokens(const ExplainReport& report) {
  return std::min(report.trace.size(), static_cast<size_t>(kPageTokensMax));
}

std::string scored(int64_t expert, float score, float bias) {
  std::string out = absl::StrFormat("expert %d: score %.3f", expert, score);
  if (bias != 0) absl::StrAppendFormat(&out, " %+.3f bias = %.3f", bias, score + bias);
  return out;
}

// Why the layer chose as it did, line by line.
std::string why(const LayerTrace& layer) {
  std::string out;
  for (const ChosenExpert& choice : layer.choices) {
    absl::StrAppend(&out, "\n  ", scored(choice.expert.value, choice.score, choice.bias),
                    absl::StrFormat("  →  weight %.3f", choice.weight));
  }
  if (layer.choices.empty()) out += "\n  no expert";
  if (layer.runner_up) {
    const model::ScoredExpert& next = *layer.runner_up;
    const std::string short_by =
        layer.margin < 0 ? absl::StrFormat("ahead by %.3f, but its group was not chosen", -layer.margin)
                         : absl::StrFormat("short by %.3f", layer.margin);
    absl::StrAppend(&out, "\n  not chosen, ", scored(next.expert.value, next.score, next.bias), "  (",
                    short_by, ")");
  }
  return out;
}

std::string token_title(const TokenTrace& token) {
  return absl::StrFormat("token %d  “%s”", token.position, escape(token.text));
}

// Line feeds in an attribute survive only as character references.
std::string attribute_lines(const std::string& lines) {
  std::string out;
  for (const char c : lines) out += c == '\n' ? "&#10;" : std::string(1, c);
  return out;
}

// A token's text with its line feeds kept as breaks after it.
std::string word(const TokenTrace& token) {
  return absl::StrCat("<span class=\"w\">", escape(token.text), "</span>");
}

std::string line_break(const TokenTrace& token) {
  return token.text.find('\n') == std::string::npos ? "" : "<br/>\n";
}

// The colour's strength says how much of the token's weight the first expert has.
std::string tint(const LayerTrace& layer) {
  if (layer.choices.empty()) return "--h:0;--a:0";
  double total = 0;
  for (const ChosenExpert& choice : layer.choices) total += std::abs(choice.weight);
  const ChosenExpert& first = layer.choices[0];
  const double share = total > 0 ? std::abs(first.weight) / total : 0;
  return absl::StrFormat("--h:%d;--a:%.2f", expert_hue(first.expert.value), 0.08 + 0.55 * share);
}

std::string first_expert(const LayerTrace& layer) {
  return layer.choices.empty() ? "–" : absl::StrCat(layer.choices[0].expert.value);
}

std::string all_layers_panel(const ExplainReport& report) {
  std::string out;
  for (size_t i = 0; i < shown_tokens(report); ++i) {
    const TokenTrace& token = report.trace[i];
    std::string reasons = token_title(token);
    std::string cells;
    for (size_t l = 0; l < token.layers.size(); ++l) {
      absl::StrAppend(&reasons, "\nlayer ", l, why(token.layers[l]));
      absl::StrAppend(&cells, "<span class=\"l\" style=\"", tint(token.layers[l]), "\">",
                      first_expert(token.layers[l]), "</span>");
    }
    absl::StrAppend(&out, "<span class=\"t\" tabindex=\"0\" data-why=\"", attribute_lines(reasons), "\">",
                    word(token), cells, "</span>", line_break(token));
  }
  return out;
}

std::string layer_panel(const ExplainReport& report, size_t l) {
  std::string out;
  for (size_t i = 0; i < shown_tokens(report); ++i) {
    const TokenTrace& token = report.trace[i];
    const LayerTrace& layer = token.layers[l];
    absl::StrAppend(&out, "<span class=\"t\" tabindex=\"0\" style=\"", tint(layer), "\" data-why=\"");
    absl::StrAppend(&out, attribute_lines(absl::StrCat(token_title(token), "\nlayer ", l, why(layer))), "\">",
                    word(token), "<span class=\"x\">", first_expert(layer), "</span></span>",
                    line_break(token));
  }
  return out;
}

std::string table_of(const ExplainReport& report) {
  std::string out =
      "<details><summary>As a table</summary><div class=\"scroll\"><table><thead><tr><th class=\"num\">#</th>"
      "<th>token</th><th class=\"num\">layer</th><th>experts and weights</th><th>scores (with bias)</th>"
      "<th>runner-up</th><th class=\"num\">margin</th></tr></thead><tbody>\n";
  for (size_t i = 0; i < shown_tokens(report); ++i) {
    const TokenTrace& token = report.trace[i];
    for (size_t l = 0; l < token.layers.size(); ++l) {
      const LayerTrace& layer = token.layers[l];
      std::string experts;
      std::string scores;
      for (const ChosenExpert& choice : layer.choices) {
        absl::StrAppend(&experts, expert_badge(choice.expert.value),
                        absl::StrFormat(" %.2f  ", choice.weight));
        absl::StrAppendFormat(&scores, "%.3f%+.3f  ", choice.score, choice.bias);
      }
      const auto& next = layer.runner_up;
      const std::string runner_up = next
                                        ? absl::StrCat(expert_badge(next->expert.value),
                                                       absl::StrFormat(" %.3f%+.3f", next->score, next->bias))
                                        : "";
      absl::StrAppendFormat(&out, "<tr><td class=\"num\">%s</td><td><code>%s</code></td>",
                            l == 0 ? absl::StrCat(token.position) : "", l == 0 ? escape(token.text) : "");
      absl::StrAppendFormat(
          &out, "<td class=\"num\">%d</td><td>%s</td><td>%s</td><td>%s</td><td class=\"num\">%s</td></tr>\n",
          l, experts, scores, runner_up, next ? absl::StrFormat("%.3f", layer.margin) : "");
    }
  }
  return out + "</tbody></table></div></details>\n";
}

}  // namespace

int64_t text_tabs(const ExplainReport& report) {
  return layers_of(report) + (shows_all_layers(report) ? 1 : 0);
}

std::string text_section(const ExplainReport& report) {
  if (report.trace.empty()) return "";
  std::string out = "<section id=\"text\"><h2>The text, token by token</h2>\n";
  out +=
      "<p class=\"soft\">Colour and number: the expert with the most weight; the stronger the colour, the "
      "more of the "
      "weight it has. Point at a token, or step to it with the Tab key, for what its gates weighed.</p>\n";
  if (shown_tokens(report) < report.trace.size()) {
    absl::StrAppendFormat(&out, "<p>The first %s of %s tokens.</p>\n", with_thousands(kPageTokensMax),
                          with_thousands(static_cast<int64_t>(report.trace.size())));
  }
  out += "<div class=\"tabs\">";
  const int64_t offset = shows_all_layers(report) ? 1 : 0;
  for (int64_t tab = 0; tab < text_tabs(report); ++tab) {
    const std::string name = tab < offset ? "all layers" : absl::StrCat("layer ", tab - offset);
    absl::StrAppendFormat(
        &out, "<input type=\"radio\" name=\"tab\" id=\"tab%d\"%s/><label for=\"tab%d\">%s</label>", tab,
        tab == 0 ? " checked=\"checked\"" : "", tab, name);
  }
  for (int64_t tab = 0; tab < text_tabs(report); ++tab) {
    absl::StrAppendFormat(&out, "\n<div class=\"panel panel%d text mono%s\">", tab,
                          tab < offset ? "" : " one");
    out += tab < offset ? all_layers_panel(report) : layer_panel(report, static_cast<size_t>(tab - offset));
    out += "</div>";
  }
  return out + "</div>\n" + table_of(report) + "</section>\n";
}

}  // namespace agora::cli
