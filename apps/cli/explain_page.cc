#include "apps/cli/explain_page.h"

#include "absl/strings/str_cat.h"

#include "apps/cli/explain_page_html.h"
#include "apps/cli/explain_page_sections.h"

namespace agora::cli {
namespace {

std::string header(const ExplainReport& report) {
  std::string out =
      absl::StrCat("<header><div class=\"kicker\">agora explain</div><h1>", escape(report.model), "</h1>\n");
  out += "<dl class=\"facts\">";
  for (const auto& [label, value] : report.summary) {
    absl::StrAppend(&out, "<div><dt>", escape(label), "</dt><dd>", escape(value), "</dd></div>");
  }
  out += "</dl>\n<nav>";
  if (!report.trace.empty()) out += "<a href=\"#text\">Text</a>";
  if (report.specialisation && !report.specialisation->layers.empty()) {
    out += "<a href=\"#domains\">Domains</a><a href=\"#experts\">Experts</a>";
    out += "<a href=\"#together\">Together</a><a href=\"#balance\">Balance</a>";
  }
  return out + "</nav></header>\n";
}

}  // namespace

std::string explain_page(const ExplainReport& report) {
  const std::string title = absl::StrCat("agora explain: ", escape(report.model));
  return absl::StrCat("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n", page_head(), "<title>", title,
                      "</title>\n<style>", page_style(text_tabs(report)),
                      "</style>\n</head>\n<body>\n<main>\n", header(report)) +
         text_section(report) + domain_section(report) + expert_section(report) + together_section(report) +
         balance_section(report) +
         "<footer>Written by agora explain. This page needs no network.</footer>\n" +
         "</main>\n</body>\n</html>\n";
}

}  // namespace agora::cli
