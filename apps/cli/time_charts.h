// Curves over one axis, mostly time, as inline SVG, one chart below the other, with what happened marked on
// all.
//
//   const TimeAxis axis{.end_s = 120, .calm_s = 75, .marks = {12.5, 40}};
//   page += time_chart_svg({.title = "Answers", .unit = "a second", .curves = {{"all", "hi", values}}},
//                          axis);
//
// Any thread (pure functions).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace agora::cli {

struct TimePoint {
  double at_s = 0;
  double value = 0;  // not a number: no value then, the curve is interrupted
};

struct Curve {
  std::string name;
  std::string style;  // class in the style sheet: hi, lo
  std::vector<TimePoint> points;
};

struct TimeChart {
  std::string title;
  std::string unit;
  std::vector<Curve> curves;
  bool octaves = false;  // a scale of powers of ten; else from 0
};

struct TimeAxis {
  double begin_s = 0, end_s = 1;
  double calm_s = 0;          // from here on nothing is wrong: the ground is lighter
  std::vector<double> marks;  // faults
  std::string unit = {};      // of the axis; empty: it is time, in seconds
};

std::string time_chart_svg(const TimeChart& chart, const TimeAxis& axis);
// What time charts need in the style sheet, beside the page's own.
std::string time_chart_style();

}  // namespace agora::cli
