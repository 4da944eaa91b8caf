// A recipe is a folder with config.toml, or such a file by itself: flags written down.
//
//   args = with_recipe({"train", "recipes/text", "--seed", "2"});
//   // {"train", "--steps=2000", ..., "--seed", "2"}
//
// The names in the file are the names of the flags; what stands on the command line wins.
#pragma once

#include <string>
#include <vector>

#include "agora/base/result.h"

namespace agora::cli {

// "--NAME=VALUE" for each line of the text. InvalidArgument names `where`.
StatusOr<std::vector<std::string>> recipe_flags(const std::string& toml, const std::string& where);

// Replaces the positional recipe after `train`, `classic`, `up` or `spec make` by the flags its file holds.
// Arguments without a recipe come back as they were. NotFound or InvalidArgument names the file.
StatusOr<std::vector<std::string>> with_recipe(std::vector<std::string> args);

}  // namespace agora::cli
