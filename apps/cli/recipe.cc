#include "apps/cli/recipe.h"

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "agora/base/text.h"
#include "agora/weights/atomic_file.h"
#include <CLI/CLI.hpp>

namespace agora::cli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kRecipeBytesMax = 1 << 20;

// The command whose only argument may be a recipe, and where that would stand; null: another command, or no
// recipe.
struct Place {
  const CLI::App* command = nullptr;
  size_t recipe = 0;
};

Place place_of(const std::vector<std::string>& args, const CLI::App& app) {
  static constexpr std::string_view kCommands[] = {"train", "classic", "up", "host", "trainer", "serve"};
  Place place;
  if (args.empty()) return place;
  if (std::ranges::find(kCommands, args[0]) != std::end(kCommands)) {
    place = {app.get_subcommand(args[0]), 1};
  } else if (args.size() > 1 && args[0] == "spec" && args[1] == "make") {
    place = {app.get_subcommand(args[0])->get_subcommand(args[1]), 2};
  }
  const bool is_word = place.recipe < args.size() && !args[place.recipe].starts_with("-");
  return is_word ? place : Place{};
}

// "--room=5" -> "--room"
std::string name_of(const std::string& flag) { return flag.substr(0, flag.find('=')); }

Status check_names(const std::vector<std::string>& flags, const CLI::App& command, const std::string& file) {
  for (const std::string& flag : flags) {
    if (flag.empty()) continue;  // the value of the one before
    const std::string name = name_of(flag);
    if (command.get_option_no_throw(name) != nullptr && name != "--help") continue;
    return absl::InvalidArgumentError(absl::StrCat(file, ": agora ", command.get_name(), " has no flag ",
                                                   name, "; `agora ", command.get_name(),
                                                   " --help` lists them"));
  }
  return absl::OkStatus();
}

// CLI11 cuts a line at its first #, wherever that stands, and takes what stands behind a backslash as it is.
bool is_read_as_meant(std::string_view value) {
  char quote = 0;  // of the text that this is in
  char before = '=';
  for (const char c : value) {
    if (quote == 0) {
      if (c == '#') return true;  // a comment
      if ((c == '"' || c == '\'') && std::string_view(" \t=[,\"'").find(before) != std::string_view::npos)
        quote = c;
    } else if (c == quote) {
      quote = 0;
    } else if (c == '#' || (c == '\\' && quote == '"')) {
      return false;
    }
    before = c;
  }
  return quote == 0;
}

}  // namespace

Status check_quotes(const std::string& toml, const std::string& where) {
  std::istringstream lines(toml);
  for (std::string line; std::getline(lines, line);) {
    const size_t equals = line.find('=');
    const size_t value = equals == std::string::npos ? 0 : equals + 1;
    const bool comment = line.find_first_of("#;") < value;
    if (comment || is_read_as_meant(std::string_view(line).substr(value))) continue;
    return absl::InvalidArgumentError(
        base::concat(where, ": expected quotes that are closed, without # and backslashes in them, found ",
                     base::in_quotes(line), "; give such a value on the command line"));
  }
  return absl::OkStatus();
}

StatusOr<std::vector<std::string>> recipe_flags(const std::string& toml, const std::string& where) {
  std::vector<std::string> flags;
  try {  // CLI11 reports by exception; it ends here
    std::istringstream text(toml);
    for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_config(text)) {
      for (const std::string& input : item.inputs) {
        const std::string name = absl::StrCat("--", item.fullname());
        if (input.empty()) {
          flags.insert(flags.end(), {name, ""});
        } else {
          flags.push_back(absl::StrCat(name, "=", input));
        }
      }
    }
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": expected `flag = value` lines (TOML): ", error.what()));
  }
  return flags;
}

StatusOr<std::vector<std::string>> with_recipe(std::vector<std::string> args, const CLI::App& app) {
  const Place place = place_of(args, app);
  if (place.command == nullptr) return args;
  const std::string& recipe = args[place.recipe];
  fs::path file = recipe;
  std::error_code ignored;
  if (fs::is_directory(file, ignored)) file /= "config.toml";
  if (!fs::is_regular_file(file, ignored)) {
    return absl::NotFoundError(absl::StrCat(recipe,
                                            ": expected a recipe (a folder with config.toml) or a TOML file; "
                                            "the recipes that come with agora are in recipes/"));
  }
  AGORA_ASSIGN_OR_RETURN(const std::string toml, weights::read_file(file.string(), kRecipeBytesMax));
  AGORA_RETURN_IF_ERROR(check_quotes(toml, file.string()));
  AGORA_ASSIGN_OR_RETURN(const std::vector<std::string> flags, recipe_flags(toml, file.string()));
  AGORA_RETURN_IF_ERROR(check_names(flags, *place.command, file.string()));
  const auto at = args.erase(args.begin() + static_cast<std::ptrdiff_t>(place.recipe));
  args.insert(at, flags.begin(), flags.end());
  return args;
}

}  // namespace agora::cli
