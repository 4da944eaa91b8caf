#include "apps/cli/time_charts.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "apps/cli/explain_page_html.h"

namespace agora::cli {
namespace {

// Pixels.
constexpr double kLeft = 64, kRight = 1024, kTop = 10, kBottom = 122;
constexpr int kWidth = 1052, kHeight = 146;
constexpr int kTicks = 8;             // of time, about
constexpr double kOctavesMin = 1e-3;  // smallest value that a scale of powers of ten shows

constexpr char kStyle[] = R"css(
.time{width:100%;height:auto}
.time .ground{fill:var(--lo);fill-opacity:.05}
.time .mark{stroke:var(--lo);stroke-opacity:.35}
.time path.curve{fill:none;stroke-width:1.6;stroke-linejoin:round}
.time path.hi{stroke:var(--hi)}
.time path.lo{stroke:var(--lo)}
.time path.soft{stroke:var(--soft)}
.time .lb.end{text-anchor:end}
.time .lb.mid{text-anchor:middle}
.key .line{width:18px;height:0;border:0;border-top:2px solid}
.key .line.hi{border-color:var(--hi);background:none}
.key .line.lo{border-color:var(--lo);background:none}
.key .line.soft{border-color:var(--soft);background:none}
)css";

// 1, 2 or 5 times a power of ten, not below the value.
double round_up(double value) {
  if (!(value > 0)) return 1;
  const double ten = std::pow(10, std::floor(std::log10(value)));
  for (const double step : {1.0, 2.0, 5.0}) {
    if (step * ten >= value) return step * ten;
  }
  return 10 * ten;
}

struct Scale {
  double low = 0, high = 1;
  bool octaves = false;

  double y(double value) const {
    const double share = octaves ? std::log(std::max(value, low) / low) / std::log(high / low) : value / high;
    return kBottom - std::clamp(share, 0.0, 1.0) * (kBottom - kTop);
  }
};

Scale scale_of(const TimeChart& chart) {
  double low = INFINITY, high = 0;
  for (const Curve& curve : chart.curves) {
    for (const TimePoint& point : curve.points) {
      if (!std::isfinite(point.value)) continue;
      high = std::max(high, point.value);
      if (point.value > 0) low = std::min(low, point.value);
    }
  }
  if (!chart.octaves) return {.low = 0, .high = round_up(high)};
  low = std::pow(10, std::floor(std::log10(std::clamp(low, kOctavesMin, 1e12))));
  high = std::pow(10, std::ceil(std::log10(std::max(high, low * 10))));
  return {.low = low, .high = high, .octaves = true};
}

double x_of(const TimeAxis& axis, double at_s) {
  const double share = (at_s - axis.begin_s) / std::max(1e-9, axis.end_s - axis.begin_s);
  return kLeft + std::clamp(share, 0.0, 1.0) * (kRight - kLeft);
}

std::string tick_text(const TimeAxis& axis, double s) {
  if (!axis.unit.empty()) return absl::StrFormat("%g %s", s, axis.unit);
  if (s >= 7200) return absl::StrFormat("%g h", s / 3600);
  return s >= 300 ? absl::StrFormat("%g min", s / 60) : absl::StrFormat("%g s", s);
}

// Ticks that people count in: seconds, minutes, hours.
double tick_step_s(double span_s) {
  for (const double step : {1., 2., 5., 10., 15., 30., 60., 120., 300., 600., 1800., 3600., 7200., 14400.}) {
    if (span_s / step <= kTicks) return step;
  }
  return round_up(span_s / kTicks);
}

void append_ground(const TimeAxis& axis, std::string& out) {
  absl::StrAppendFormat(&out, "<rect class=\"ground\" x=\"%.1f\" y=\"%.0f\" width=\"%.1f\" height=\"%.0f\"/>",
                        kLeft, kTop, x_of(axis, axis.calm_s) - kLeft, kBottom - kTop);
  std::set<int> taken;  // a pixel is marked once
  std::string marks;
  for (const double at_s : axis.marks) {
    const int x = static_cast<int>(x_of(axis, at_s));
    if (taken.insert(x).second) absl::StrAppendFormat(&marks, "M%d %.0fV%.0f", x, kTop, kBottom);
  }
  if (!marks.empty()) absl::StrAppend(&out, "<path class=\"mark\" d=\"", marks, "\"/>");
  const double step = tick_step_s(axis.end_s - axis.begin_s);
  for (double at_s = std::ceil(axis.begin_s / step) * step; at_s <= axis.end_s; at_s += step) {
    absl::StrAppendFormat(&out, "<text class=\"lb mid\" x=\"%.1f\" y=\"%d\">%s</text>", x_of(axis, at_s),
                          kHeight - 6, tick_text(axis, at_s));
  }
}

void append_scale(const Scale& scale, std::string& out) {
  std::vector<double> lines;
  if (scale.octaves) {
    for (double value = scale.low; value <= scale.high * 1.01; value *= 10) lines.push_back(value);
  } else {
    lines = {0, scale.high / 2, scale.high};
  }
  for (const double value : lines) {
    const double y = scale.y(value);
    absl::StrAppendFormat(&out, "<path class=\"ax\" d=\"M%.0f %.1fH%.0f\"/>", kLeft, y, kRight);
    absl::StrAppendFormat(&out, "<text class=\"lb end\" x=\"%.0f\" y=\"%.1f\">%g</text>", kLeft - 6, y + 4,
                          value);
  }
}

std::string path_of(const Curve& curve, const Scale& scale, const TimeAxis& axis) {
  std::string path;
  bool down = false;
  for (const TimePoint& point : curve.points) {
    if (!std::isfinite(point.value)) {
      down = false;
      continue;
    }
    absl::StrAppendFormat(&path, "%c%.1f %.1f", down ? 'L' : 'M', x_of(axis, point.at_s),
                          scale.y(point.value));
    down = true;
  }
  return path;
}

}  // namespace

std::string time_chart_svg(const TimeChart& chart, const TimeAxis& axis) {
  const Scale scale = scale_of(chart);
  std::string out = absl::StrCat("<figure><figcaption><b>", escape(chart.title), "</b> &#160;",
                                 escape(chart.unit), " &#160;");
  for (const Curve& curve : chart.curves) {
    absl::StrAppend(&out, "<span class=\"key\"><i class=\"line ", curve.style, "\"></i>", escape(curve.name),
                    "</span>");
  }
  absl::StrAppendFormat(&out,
                        "</figcaption><svg class=\"time\" role=\"img\" aria-label=\"%s over time\" "
                        "viewBox=\"0 0 %d %d\">",
                        escape(chart.title), kWidth, kHeight);
  append_ground(axis, out);
  append_scale(scale, out);
  for (const Curve& curve : chart.curves) {
    absl::StrAppend(&out, "<path class=\"curve ", curve.style, "\" d=\"", path_of(curve, scale, axis),
                    "\"/>");
  }
  return out + "</svg></figure>\n";
}

std::string time_chart_style() { return kStyle; }

}  // namespace agora::cli
