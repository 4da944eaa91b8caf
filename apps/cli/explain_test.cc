// The three forms of a report, on one report that has something of everything, hostile bytes among it.
#include <algorithm>
#include <cmath>
#include <sstream>
#include <string_view>

#include "agora/base/utf8.h"
#include "agora/train/specialisation_meter.h"
#include <gtest/gtest.h>

#include "apps/cli/explain_json.h"
#include "apps/cli/explain_page.h"
#include "apps/cli/explain_page_html.h"
#include "apps/cli/explain_report.h"
#include "apps/cli/explain_text.h"
#include "apps/cli/terminal_text.h"

namespace agora::cli {
namespace {

constexpr int kLayers = 2;
constexpr int kExperts = 4;
const char* const kHostile = "</script><svg onload=\"x\" a='b'>&amp;\xff\x1b[2J\xe2\x80\xae";

train::Specialisation make_specialisation() {
  train::SpecialisationMeter meter({.layers = kLayers, .experts = kExperts, .domains = 2, .vocab = 3});
  Rng rng(3);
  for (int s = 0; s < 40; ++s) {
    const int domain = s % 2;
    const train::SequenceId sequence = meter.add_sequence(domain);
    for (int t = 0; t < 8; ++t) {
      const auto token = static_cast<int32_t>(rng.below(3));
      const ExpertId second{2 + static_cast<int64_t>(rng.below(2))};
      const std::vector<train::ExpertWeight> choices = {{ExpertId{domain}, 0.75f}, {second, 0.25f}};
      for (int l = 0; l < kLayers; ++l) meter.observe(LayerId{l}, sequence, token, choices);
    }
  }
  return meter.specialisation(Rng(1));
}

ExplainReport make_report() {
  ExplainReport report{.model = kHostile, .summary = {{kHostile, kHostile}, {"layers", "2"}}};
  for (int i = 0; i < 3; ++i) {
    model::TokenTrace token{.text = i == 1 ? kHostile : " word\n", .position = i, .layers = {}};
    for (int l = 0; l < kLayers; ++l) {
      model::LayerTrace layer;
      if (i < 2) {
        layer.choices = {{ExpertId{1}, 0.75f, 0.5f, 0.01f}, {ExpertId{2}, 0.25f, 0.2f, 0.0f}};
        layer.runner_up = model::ScoredExpert{ExpertId{0}, 0.15f, -0.25f};
        layer.margin = 0.3f;
      }
      token.layers.push_back(layer);  // the third token gets no expert
    }
    report.trace.push_back(token);
  }
  report.domains = {"python", kHostile};
  report.specialisation = make_specialisation();
  const train::ExpertAblation without{.loss_change = std::nan(""), .changed_share = 0.25};
  report.ablation = train::Ablation{
      .loss = 2.5, .tokens = 320, .layers = {{{0.5, 0.1}, {-0.01, 0}, without, {0, 0}}, {{0.1, 0.2}}}};
  report.token_text = [](int32_t token) {
    return token == 0 ? std::string(kHostile) : "t" + std::to_string(token);
  };
  return report;
}

// Checks that tags are balanced and attributes quoted, as XML would have it. Empty: all is well.
std::string complaint(std::string_view page) {
  std::vector<std::string> open;
  for (size_t i = page.find('<'); i != std::string_view::npos; i = page.find('<', i)) {
    const size_t end = page.find('>', i);
    if (end == std::string_view::npos) return "a tag without end";
    const std::string_view tag = page.substr(i + 1, end - i - 1);
    i = end;
    if (tag.starts_with('!')) continue;
    if (tag.find('<') != std::string_view::npos) return "a < inside <" + std::string(tag) + ">";
    if (std::count(tag.begin(), tag.end(), '"') % 2 != 0)
      return "an open quote in <" + std::string(tag) + ">";
    if (tag.ends_with('/')) continue;
    if (!tag.starts_with('/')) {
      open.emplace_back(tag.substr(0, tag.find(' ')));
      if (open.back() == "style") i = page.find("</style>", end) - 1;
    } else if (open.empty() || open.back() != tag.substr(1)) {
      return "unexpected <" + std::string(tag) + ">";
    } else {
      open.pop_back();
    }
  }
  return open.empty() ? "" : "not closed: " + open.back();
}

TEST(Complaint, FindsWhatIsNotBalanced) {
  EXPECT_EQ(complaint("<p>a<br/><b title=\"x\">b</b></p>"), "");
  EXPECT_NE(complaint("<p>a<b></p>"), "");
  EXPECT_NE(complaint("<p title=\"x>a</p>"), "");
  EXPECT_NE(complaint("<p>"), "");
}

TEST(Escape, LeavesNothingThatIsMarkup) {
  EXPECT_EQ(escape("<a href=\"x\">'&'\n"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;↵");
  EXPECT_EQ(escape("\xff\x1b"), "\\xff\\x1b");
}

TEST(ExplainPage, IsWellFormedWhateverTheBytes) {
  const std::string page = explain_page(make_report());
  EXPECT_EQ(complaint(page), "");
  EXPECT_TRUE(base::is_utf8(page));
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_EQ(page.find("</script"), std::string::npos);
  EXPECT_EQ(page.find("onload=\""), std::string::npos);
  EXPECT_EQ(page.find('\x1b'), std::string::npos);
  EXPECT_EQ(page.find("nan"), std::string::npos);
}

TEST(ExplainPage, NeedsNoNetwork) {
  const std::string page = explain_page(make_report());
  for (const char* link : {"http:", "https:", "src=", "url(", "@import", "//"}) {
    EXPECT_EQ(page.find(link), std::string::npos) << link;
  }
}

TEST(ExplainPage, SaysEverything) {
  const std::string page = explain_page(make_report());
  for (const char* part : {"id=\"text\"", "id=\"domains\"", "id=\"experts\"", "id=\"together\"",
                           "id=\"balance\"", "not chosen, expert 0: score 0.150 -0.250 bias = -0.100",
                           "+0.5000", "python", "MaxVio", "no expert"}) {
    EXPECT_NE(page.find(part), std::string::npos) << part;
  }
}

TEST(ExplainPage, LeavesOutWhatTheReportHasNot) {
  const std::string page = explain_page({.model = "m", .summary = {}});
  EXPECT_EQ(complaint(page), "");
  EXPECT_EQ(page.find("<section"), std::string::npos);
}

TEST(ExplainPage, StaysWithinItsLimits) {
  ExplainReport report = make_report();
  report.trace.resize(1);
  const model::TokenTrace token = report.trace[0];
  report.trace.assign(kPageTokensMax + 500, token);
  const std::string page = explain_page(report);
  EXPECT_NE(page.find("The first 1,024 of 1,524 tokens."), std::string::npos);
  EXPECT_LT(page.size(), 8u << 20);
}

TEST(ExplainText, FitsTheTerminalAndSteersNothing) {
  for (const int columns : {60, 100, 200}) {
    const std::string text = explain_text(make_report(), {.columns = columns});
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
    EXPECT_TRUE(base::is_utf8(text));
    std::istringstream lines(text);
    bool in_tables = false;
    for (std::string line; std::getline(lines, line);) {
      in_tables = in_tables || line.starts_with("The text");
      // Sentences may wrap; tables and maps may not.
      if (!in_tables || line.starts_with("layer ")) continue;
      EXPECT_LE(display_width(line), std::max(columns, 80)) << line;
    }
  }
}

TEST(ExplainText, SaysWhy) {
  const std::string text = explain_text(make_report(), {.columns = 140});
  EXPECT_NE(text.find("1 (0.75), 2 (0.25)"), std::string::npos) << text;
  EXPECT_NE(text.find("1 0.500+0.010, 2 0.200"), std::string::npos);
  EXPECT_NE(text.find("0 0.150-0.250"), std::string::npos);
  EXPECT_NE(text.find("more than chance"), std::string::npos);
}

TEST(ExplainJson, IsWholeAndValid) {
  const ExplainReport report = make_report();
  const nlohmann::json json = nlohmann::json::parse(explain_json(report).dump());
  EXPECT_EQ(json["text"].size(), 3u);
  EXPECT_EQ(json["text"][1]["token_hex"].get<std::string>().substr(0, 4), "3c2f");
  EXPECT_FALSE(json["text"][0].contains("token_hex"));
  EXPECT_EQ(json["text"][0]["layers"][1]["choices"][0]["expert"], 1);
  EXPECT_EQ(json["text"][0]["layers"][1]["runner_up"]["expert"], 0);
  EXPECT_TRUE(json["text"][2]["layers"][0]["runner_up"].is_null());
  const nlohmann::json& layer = json["specialisation"]["layers"][1];
  EXPECT_EQ(layer["tokens"], 320);
  EXPECT_EQ(layer["mass_share"].size(), 4u);
  EXPECT_DOUBLE_EQ(layer["mass_share"][0][0], 0.75);
  EXPECT_EQ(layer["together"][0][0], 160);
  EXPECT_EQ(layer["information"]["permutations"], 200);
  EXPECT_EQ(layer["top_tokens"].size(), 4u);
  EXPECT_DOUBLE_EQ(json["ablation"]["layers"][0][0]["loss_change"], 0.5);
  EXPECT_TRUE(json["ablation"]["layers"][0][2]["loss_change"].is_null());
}

TEST(ExplainJson, NullWhereThereIsNothing) {
  const nlohmann::ordered_json json = explain_json({.model = "m", .summary = {}});
  EXPECT_TRUE(json["specialisation"].is_null());
  EXPECT_TRUE(json["ablation"].is_null());
  EXPECT_EQ(json["text"].size(), 0u);
}

TEST(ExpertsByDomain, PutsThoseOfOneDomainTogether) {
  train::LayerSpecialisation layer;
  layer.load = {0.1, 0.4, 0.0, 0.3, 0.2};
  layer.mass_share = train::Table(5, 2);
  layer.mass_share.cells = {0.1, 0.2, 0.6, 0.1, 0, 0, 0.1, 0.7, 0.2, 0};
  EXPECT_EQ(experts_by_domain(layer), (std::vector<int64_t>{1, 4, 3, 0, 2}));
  EXPECT_EQ(experts_by_load(layer, 2), (std::vector<int64_t>{1, 3}));
  EXPECT_EQ(strongest_domain(layer, 2), -1);
}

TEST(PairsByLift, ListsFrequentPairsOnce) {
  const ExplainReport report = make_report();
  const std::vector<ExpertPair> pairs = pairs_by_lift(report.specialisation->layers[0], kPairTokensMin, 10);
  EXPECT_EQ(pairs.size(), 4u);  // 0 and 1 each with 2 and 3; never 0 with 1 or 2 with 3
  for (const ExpertPair& pair : pairs) EXPECT_LT(pair.a, pair.b);
}

}  // namespace
}  // namespace agora::cli
