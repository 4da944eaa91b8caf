#include "apps/cli/recipe.h"

#include <filesystem>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "agora/weights/atomic_file.h"
#include <CLI/CLI.hpp>

namespace agora::cli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kRecipeBytesMax = 1 << 20;

}  // namespace

StatusOr<std::vector<std::string>> recipe_flags(const std::string& toml, const std::string& where) {
  std::vector<std::string> flags;
  try {  // CLI11 reports by exception; it ends here
    std::istringstream text(toml);
    for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_config(text)) {
      for (const std::string& input : item.inputs) flags.push_back(absl::StrCat("--", item.name, "=", input));
    }
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": expected `flag = value` lines (TOML): ", error.what()));
  }
  return flags;
}

StatusOr<std::vector<std::string>> with_recipe(std::vector<std::string> args) {
  if (args.size() < 2 || args[1].starts_with("-")) return args;
  size_t at = 0;  // of the word before the recipe
  for (const std::string_view word : {"train", "classic", "up"}) at = args[0] == word ? 1 : at;
  if (args[0] == "spec" && args[1] == "make" && args.size() > 2 && !args[2].starts_with("-")) at = 2;
  if (at == 0) return args;
  fs::path file = args[at];
  std::error_code ignored;
  if (fs::is_directory(file, ignored)) file /= "config.toml";
  if (!fs::is_regular_file(file, ignored)) {
    return absl::NotFoundError(absl::StrCat(args[at],
                                            ": expected a recipe (a folder with config.toml) or a TOML file; "
                                            "the recipes that come with agora are in recipes/"));
  }
  AGORA_ASSIGN_OR_RETURN(const std::string toml, weights::read_file(file.string(), kRecipeBytesMax));
  AGORA_ASSIGN_OR_RETURN(const std::vector<std::string> flags, recipe_flags(toml, file.string()));
  const auto recipe = args.erase(args.begin() + static_cast<std::ptrdiff_t>(at));
  args.insert(recipe, flags.begin(), flags.end());
  return args;
}

}  // namespace agora::cli
