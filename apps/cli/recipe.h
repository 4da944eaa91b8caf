// A recipe is a folder with config.toml, or such a file by itself: flags written down.
//
//   args = with_recipe({"train", "recipes/text", "--seed", "2"}, app);
//   // {"train", "--steps=2000", ..., "--seed", "2"}
//
// The names in the file are the names of the command's flags; what stands on the command line wins.
#pragma once

#include <string>
#include <vector>

#include "agora/base/result.h"

namespace CLI {
class App;
}

namespace agora::cli {

// "--NAME=VALUE" for each line of the text, in its order; where the value is empty "--NAME" and "", for CLI11
// takes the next argument for what stands behind a bare "=". InvalidArgument names `where`.
StatusOr<std::vector<std::string>> recipe_flags(const std::string& toml, const std::string& where);

// Of what is written anew; what is saved already is read as it was then. InvalidArgument names `where`, and
// the line in whose quotes stands what not every reader takes as meant: a #, a backslash in "", a line's end.
Status check_quotes(const std::string& toml, const std::string& where);

// Replaces the recipe after the command by the flags that its file holds, for commands that take none but
// flags: train, classic, up, host, trainer, serve and `spec make`. Arguments without a recipe come back as
// they were. NotFound or InvalidArgument names the file, and the flag that the command has not.
StatusOr<std::vector<std::string>> with_recipe(std::vector<std::string> args, const CLI::App& app);

}  // namespace agora::cli
