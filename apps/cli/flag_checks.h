// What numbers on the command line must be, said for people: CLI11's own words name the largest double.
//
//   command->add_option("--room", flags->room, "...")->check(above_zero());
//   // --room: expected a number above 0, found "x"
#pragma once

#include <string>

#include "agora/base/text.h"
#include <CLI/CLI.hpp>

namespace agora::cli {

inline CLI::Validator above_zero() {
  const auto check = [](const std::string& text) {
    double value = 0;
    const bool ok = CLI::detail::lexical_cast(text, value) && value > 0;
    return ok ? std::string() : base::concat("expected a number above 0, found ", base::in_quotes(text));
  };
  return CLI::Validator(check, "above 0");
}

inline CLI::Validator from_zero() {
  const auto check = [](const std::string& text) {
    double value = 0;
    const bool ok = CLI::detail::lexical_cast(text, value) && value >= 0;
    return ok ? std::string() : base::concat("expected 0 or a number above, found ", base::in_quotes(text));
  };
  return CLI::Validator(check, "from 0");
}

}  // namespace agora::cli
