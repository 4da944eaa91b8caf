#include "apps/cli/sim_page.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

#include "apps/cli/explain_page_html.h"
#include "apps/cli/terminal_table.h"
#include "apps/cli/time_charts.h"

namespace agora::cli {
namespace {

using sim::RunReport;
using sim::Sample;
using sim::Timeline;

double seconds(int64_t ns) { return static_cast<double>(ns) / 1e9; }
double ms(int64_t ns) { return static_cast<double>(ns) / 1e6; }
double percent(double part, double all) { return all > 0 ? 100 * part / all : 0; }

// A number for each of the tally's samples: of the sample, and of the seconds since the one before.
using Measure = std::function<double(const Sample&, double passed_s)>;

Curve curve(const RunReport& report, std::string name, std::string style, const Measure& measure) {
  Curve out{.name = std::move(name), .style = std::move(style), .points = {}};
  int64_t before_ns = 0;
  for (const Sample& sample : report.samples) {
    const double passed_s = std::max(1e-9, seconds(sample.at_ns - before_ns));
    out.points.push_back({seconds(sample.at_ns), measure(sample, passed_s)});
    before_ns = sample.at_ns;
  }
  return out;
}

Curve curve(const Timeline& timeline, std::string name, std::string style,
            const std::function<double(const Timeline::Sample&)>& measure) {
  Curve out{.name = std::move(name), .style = std::move(style), .points = {}};
  for (const Timeline::Sample& sample : timeline.samples()) {
    out.points.push_back({seconds(sample.at_ns), measure(sample)});
  }
  return out;
}

double latency(int64_t ns) { return ns > 0 ? ms(ns) : NAN; }

std::vector<TimeChart> charts_of(const RunReport& r, const Timeline& t) {
  return {
      {.title = "Throughput",
       .unit = "a second",
       .curves = {curve(r, "rows answered", "hi",
                        [](const Sample& s, double passed) { return static_cast<double>(s.rows) / passed; }),
                  curve(r, "questions failed", "lo",
                        [](const Sample& s, double passed) {
                          return static_cast<double>(s.failures) / passed;
                        })}},
      {.title = "Latency",
       .unit = "ms",
       .curves = {curve(r, "p50", "hi", [](const Sample& s, double) { return latency(s.p50_ns); }),
                  curve(r, "p99", "lo", [](const Sample& s, double) { return latency(s.p99_ns); })},
       .octaves = true},
      {.title = "Gate mass lost",
       .unit = "% of the gates' weight",
       .curves = {curve(r, "lost", "lo",
                        [](const Sample& s, double) { return percent(s.mass_lost, s.mass); })}},
      {.title = "Experts",
       .unit = absl::StrCat("of ", t.experts()),
       .curves = {curve(t, "with all replicas", "soft",
                        [](const Timeline::Sample& s) { return static_cast<double>(s.experts.whole); }),
                  curve(t, "led", "hi",
                        [](const Timeline::Sample& s) { return static_cast<double>(s.experts.led); }),
                  curve(t, "held by nobody", "lo",
                        [](const Timeline::Sample& s) { return static_cast<double>(s.experts.lost); })}},
      {.title = "Load balance",
       .unit = "rows of the busiest host over the mean",
       .curves = {curve(
           r, "busiest / mean", "hi",
           [](const Sample& s, double) { return s.load_max_over_mean > 0 ? s.load_max_over_mean : NAN; })}},
      {.title = "Bytes",
       .unit = "kB/s of a peer",
       .curves = {curve(r, "mean, sent", "hi",
                        [](const Sample& s, double passed) {
                          return static_cast<double>(s.bytes) / passed / 1e3 /
                                 static_cast<double>(std::max<int64_t>(1, s.peers_alive));
                        }),
                  curve(t, "busiest, both ways", "lo",
                        [](const Timeline::Sample& s) { return s.bytes_per_s_most / 1e3; })}},
      {.title = "Hosts alive",
       .unit = absl::StrCat("of ", r.scenario.hosts),
       .curves = {curve(t, "alive", "hi",
                        [](const Timeline::Sample& s) { return static_cast<double>(s.hosts_alive); })}},
  };
}

void append_fact(const char* label, const std::string& value, std::string& out) {
  absl::StrAppend(&out, "<div><dt>", label, "</dt><dd>", escape(value), "</dd></div>");
}

std::string header(const RunReport& r, const Timeline& t) {
  const double took_s = std::max(1e-9, seconds(r.ended_ns - r.began_ns));
  std::string out = absl::StrCat("<header><div class=\"kicker\">agora sim</div><h1>", escape(r.scenario.name),
                                 ", seed ", r.seed, "</h1>\n<dl class=\"facts\">");
  append_fact("peers", absl::StrCat(r.scenario.hosts, " hosts, ", r.scenario.gates, " gates"), out);
  append_fact("experts",
              absl::StrFormat("%d layers of %d, %d replicas", r.scenario.layers, r.scenario.experts,
                              r.scenario.replicas),
              out);
  append_fact("rows a second", absl::StrFormat("%.1f", static_cast<double>(r.totals.rows) / took_s), out);
  append_fact("answers",
              absl::StrCat(with_thousands(static_cast<int64_t>(r.totals.answers)), ", ", r.totals.failures,
                           " failed"),
              out);
  append_fact("gate mass lost", absl::StrFormat("%.3f %%", percent(r.totals.mass_lost, r.totals.mass)), out);
  append_fact("bytes a peer", absl::StrFormat("%.1f kB/s", static_cast<double>(r.bytes_per_peer_mean) / 1e3),
              out);
  append_fact("faults",
              absl::StrCat(t.marks_in_all(), r.kinds_on.empty() ? "" : ": ", absl::StrJoin(r.kinds_on, ", ")),
              out);
  append_fact("since the last fault: answered", sim::recovery_text(t.recovery().answered_ns), out);
  append_fact("all led", sim::recovery_text(t.recovery().led_ns), out);
  append_fact("all replicas", sim::recovery_text(t.recovery().whole_ns), out);
  return out + "</dl></header>\n";
}

std::string number(double value, int digits) {
  const std::string text = std::isfinite(value) ? absl::StrFormat("%.*f", digits, value) : "-";
  return absl::StrCat("<td class=\"num\">", text, "</td>");
}

// Every chart's numbers, thinned out evenly.
std::string table(const std::vector<TimeChart>& charts) {
  std::string out =
      "<details><summary>As a table</summary><div class=\"scroll\"><table><thead><tr><th "
      "class=\"num\">s</th>";
  for (const TimeChart& chart : charts) {
    for (const Curve& curve : chart.curves) {
      absl::StrAppend(&out, "<th class=\"num\">", escape(chart.title), ": ", escape(curve.name), "</th>");
    }
  }
  out += "</tr></thead><tbody>\n";
  const size_t rows = charts.front().curves.front().points.size();
  const size_t every = std::max<size_t>(1, (rows + kPageRowsMax - 1) / kPageRowsMax);
  for (size_t i = every - 1; i < rows; i += every) {
    absl::StrAppend(&out, "<tr>", number(charts.front().curves.front().points[i].at_s, 0));
    for (const TimeChart& chart : charts) {
      for (const Curve& curve : chart.curves) {
        absl::StrAppend(&out, i < curve.points.size() ? number(curve.points[i].value, 2) : number(NAN, 2));
      }
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table></div></details>\n";
}

std::string faults_section(const Timeline& t) {
  if (t.marks().empty()) return "";
  const size_t shown = std::min(t.marks().size(), kPageFaultsMax);
  std::string out =
      absl::StrFormat("<section><h2>Faults</h2><p class=\"soft\">%d of %d</p>", shown, t.marks_in_all());
  out +=
      "<div class=\"scroll\"><table><thead><tr><th class=\"num\">s</th><th>what</th></tr></thead><tbody>\n";
  for (size_t i = 0; i < shown; ++i) {
    absl::StrAppend(&out, "<tr>", number(seconds(t.marks()[i].at_ns), 3), "<td>", escape(t.marks()[i].what),
                    "</td></tr>\n");
  }
  return out + "</tbody></table></div></section>\n";
}

using Points = std::vector<sim::QualityPoint> sim::QualityCurve::*;

TimeChart quality_chart(const std::string& title, const std::vector<sim::QualityCurve>& curves,
                        Points points) {
  constexpr const char* kStyles[] = {"lo", "soft", "hi"};
  TimeChart chart{.title = title, .unit = "% more perplexity than undisturbed", .curves = {}};
  for (size_t i = 0; i < curves.size(); ++i) {
    Curve curve{
        .name = absl::StrCat("replicas: ", curves[i].replicas), .style = kStyles[i % 3], .points = {}};
    const std::vector<sim::QualityPoint>& all = curves[i].*points;
    for (const sim::QualityPoint& p : all) {
      curve.points.push_back({100 * p.share, 100 * (p.perplexity / all.front().perplexity - 1)});
    }
    chart.curves.push_back(std::move(curve));
  }
  return chart;
}

double last_share(const std::vector<sim::QualityCurve>& curves, Points points) {
  double last = 0;
  for (const sim::QualityCurve& curve : curves) {
    for (const sim::QualityPoint& point : curve.*points) last = std::max(last, 100 * point.share);
  }
  return last;
}

// escape() shows the end of a line as a sign.
std::string escape_lines(const std::string& text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    out += escape(text.substr(at, end - at)) + "\n";
    at = end + 1;
  }
  return out;
}

std::string page(const std::string& title, const std::string& body) {
  return absl::StrCat("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n", page_head(),
                      "<title>agora sim: ", escape(title), "</title>\n<style>", page_style(0),
                      time_chart_style(), "</style>\n</head>\n<body>\n<main>\n") +
         body +
         "<footer>Written by agora sim. This page needs no network.</footer>\n</main>\n</body>\n</html>\n";
}

}  // namespace

std::string sim_page(const RunReport& report, const Timeline& timeline) {
  TimeAxis axis{.end_s = seconds(report.ended_ns), .calm_s = seconds(report.calm_ns), .marks = {}};
  for (const Timeline::Mark& mark : timeline.marks()) axis.marks.push_back(seconds(mark.at_ns));
  const std::vector<TimeChart> charts = charts_of(report, timeline);
  std::string out = header(report, timeline);
  out +=
      "<section><h2>Over time</h2><p class=\"soft\">Each line across marks a fault; on the plain ground at "
      "the end "
      "nothing is wrong any more.</p>\n";
  for (const TimeChart& chart : charts) out += time_chart_svg(chart, axis);
  return page(report.scenario.name, out + table(charts) + "</section>\n" + faults_section(timeline));
}

std::string quality_page(const sim::Scenario& scenario, uint64_t seed,
                         const std::vector<sim::QualityCurve>& curves) {
  std::string out =
      absl::StrCat("<header><div class=\"kicker\">agora sim</div><h1>", escape(scenario.name), ", seed ",
                   seed, "</h1></header>\n<section><h2>Answers while much is lost</h2>\n");
  for (const auto& [title, points] :
       {std::pair<std::string, Points>{"Messages lost", &sim::QualityCurve::messages_lost},
        {"Hosts dead", &sim::QualityCurve::hosts_dead}}) {
    const TimeAxis axis{.end_s = last_share(curves, points), .marks = {}, .unit = "%"};
    out += time_chart_svg(quality_chart(title, curves, points), axis);
  }
  return page(scenario.name, absl::StrCat(out, "<details><summary>As a table</summary><pre class=\"mono\">",
                                          escape_lines(sim::quality_text(scenario, seed, curves)),
                                          "</pre></details></section>\n"));
}

}  // namespace agora::cli
