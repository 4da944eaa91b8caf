#include "apps/cli/recipe.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include <CLI/CLI.hpp>

namespace agora::cli {
namespace {

namespace fs = std::filesystem;

StatusOr<std::vector<std::string>> flags_of(const fs::path& file) {
  std::vector<std::string> flags;
  try {  // CLI11 reports by exception; it ends here
    for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_file(file.string())) {
      for (const std::string& input : item.inputs) flags.push_back(absl::StrCat("--", item.name, "=", input));
    }
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.string(), ": expected `flag = value` lines (TOML): ", error.what()));
  }
  return flags;
}

}  // namespace

StatusOr<std::vector<std::string>> with_recipe(std::vector<std::string> args) {
  if (args.size() < 2 || args[1].starts_with("-")) return args;
  if (args[0] != "train" && args[0] != "classic") return args;
  fs::path file = args[1];
  std::error_code ignored;
  if (fs::is_directory(file, ignored)) file /= "config.toml";
  if (!fs::is_regular_file(file, ignored)) {
    return absl::NotFoundError(absl::StrCat(args[1],
                                            ": expected a recipe (a folder with config.toml) or a TOML file; "
                                            "the recipes that come with agora are in recipes/"));
  }
  AGORA_ASSIGN_OR_RETURN(const std::vector<std::string> flags, flags_of(file));
  args.erase(args.begin() + 1);
  args.insert(args.begin() + 1, flags.begin(), flags.end());
  return args;
}

}  // namespace agora::cli
