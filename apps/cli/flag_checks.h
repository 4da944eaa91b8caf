// What numbers on the command line must be, said for people: CLI11's own words name the largest double.
//
//   command->add_option("--room", flags->room, "...")->check(above_zero());
//   // --room: expected a number above 0, found "x"
#pragma once

#include <string>

#include "agora/base/text.h"
#include <CLI/CLI.hpp>

namespace agora::cli {

constexpr double kSecondsMax = 1e8;  // three years: what is added to a clock must stay a time

// range: what --help says.
inline CLI::Validator expect_number(bool (*holds)(double), const std::string& expected,
                                    const std::string& range) {
  const auto check = [holds, expected](const std::string& text) {
    double value = 0;
    const bool ok = CLI::detail::lexical_cast(text, value) && holds(value);
    return ok ? std::string() : base::concat("expected ", expected, ", found ", base::in_quotes(text));
  };
  return CLI::Validator(check, range);
}

inline CLI::Validator above_zero() {
  return expect_number([](double value) { return value > 0; }, "a number above 0", "above 0");
}

inline CLI::Validator seconds_above_zero() {
  return expect_number([](double value) { return value > 0 && value <= kSecondsMax; },
                       "seconds above 0, at most 1e8", "above 0");
}

inline CLI::Validator seconds_from_zero() {
  return expect_number([](double value) { return value >= 0 && value <= kSecondsMax; },
                       "seconds from 0, at most 1e8", "from 0");
}

}  // namespace agora::cli
