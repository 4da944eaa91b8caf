#include "apps/cli/swarm/swarm_recipe.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agora/base/text.h"
#include "agora/train/swarm_spec.h"
#include "agora/weights/atomic_file.h"

#include "apps/cli/flag_checks.h"
#include "apps/cli/recipe.h"

namespace agora::cli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFileBytesMax = 32 << 20;  // of a tokenizer
constexpr int64_t kExpertsMaxByDefault = 4;  // times those at the start
constexpr float kBeta1 = 0.9f;

// The options that a machine decides for itself.
bool stays_at_home(std::string_view name) { return name == "data" || name == "out" || name == "threads"; }

std::string toml_value(const std::string& value) { return absl::StrCat("\"", value, "\""); }
std::string toml_value(bool value) { return value ? "true" : "false"; }
template <class Number>
requires std::is_arithmetic_v<Number> std::string toml_value(Number value) {
  if constexpr (std::is_floating_point_v<Number>) return absl::StrFormat("%.9g", value);
  return absl::StrCat(value);
}

std::string toml_of(train::TrainOptions options) {
  std::string text;
  train::for_each_option(options, [&](const char* name, auto& field, const char*) {
    if (!stays_at_home(name)) absl::StrAppend(&text, name, " = ", toml_value(field), "\n");
  });
  return text;
}

// A folder for a moment: tokenizers are read and written as files.
class MomentFolder {
 public:
  MomentFolder() {
    std::string name = (fs::temp_directory_path() / "agora-spec-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~MomentFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  MomentFolder(const MomentFolder&) = delete;
  MomentFolder& operator=(const MomentFolder&) = delete;

  StatusOr<std::string> path() const {
    if (!path_.empty()) return path_;
    return absl::ResourceExhaustedError(
        absl::StrCat("expected to make a folder under ", fs::temp_directory_path().string()));
  }

 private:
  std::string path_;
};

Status add_tokenizer(const model::Tokenizer& tokenizer, swarm::SwarmSpec& spec) {
  const MomentFolder folder;
  AGORA_ASSIGN_OR_RETURN(const std::string dir, folder.path());
  AGORA_RETURN_IF_ERROR(tokenizer.save(dir));
  for (const fs::directory_entry& entry : fs::directory_iterator(dir)) {
    AGORA_ASSIGN_OR_RETURN(spec.files[entry.path().filename().string()],
                           weights::read_file(entry.path().string(), kFileBytesMax));
  }
  return absl::OkStatus();
}

}  // namespace

void add_rule_flags(CLI::App& command, SwarmRules& rules) {
  command
      .add_option("--updates", rules.updates,
                  "async: experts step when enough rows have come; sync: when the one trainer ends its step")
      ->check(CLI::IsMember({"async", "sync"}));
  command
      .add_option("--rows-per-step", rules.rows_per_step,
                  "with --updates async: rows, of all trainers, after which an expert steps")
      ->check(above_zero());
  command.add_option("--replicas", rules.replicas, "hosts that hold each expert, where there are so many")
      ->check(above_zero());
  command
      .add_option("--loss-window", rules.loss_window,
                  "seconds of updates that may be lost when an expert's leader dies")
      ->check(seconds_above_zero());
  command.add_option("--experts-max", rules.experts_max,
                     "experts of a layer that there is room for in a gate; 0: four times --experts, where "
                     "they may grow (--updates async, --selection top_k)");
}

// Its only text that may be anything is the name, and CLI11 does not read everything back.
Status check_recipe(const swarm::SwarmSpec& spec, const train::TrainOptions& options) {
  const StatusOr<train::TrainOptions> read = options_of(spec);
  const bool is_read_back = read.ok() && toml_of(*read) == spec.recipe;
  if (is_read_back && check_quotes(spec.recipe, "").ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      base::concat("--name: expected a text without quotes, backslashes, # and line ends, found ",
                   base::in_quotes(options.name)));
}

StatusOr<swarm::SwarmSpec> make_spec(const train::TrainOptions& options, const SwarmRules& rules,
                                     const train::Task& task) {
  AGORA_ASSIGN_OR_RETURN(model::ModelConfig config, train::config_of(options));
  config = task.shape(config);
  AGORA_RETURN_IF_ERROR(model::validate(config));  // in the words that `agora train` has for it
  swarm::SwarmSpec spec = train::spec_of(config);
  spec.name = options.name;
  if (task.tokenizer() != nullptr) AGORA_RETURN_IF_ERROR(add_tokenizer(*task.tokenizer(), spec));
  spec.recipe = toml_of(options);
  AGORA_RETURN_IF_ERROR(check_recipe(spec, options));
  const bool grows = rules.updates == "async" && config.gate.selection == moe::Selection::top_k;
  if (rules.experts_max > spec.experts && !grows) {
    return absl::InvalidArgumentError(
        "--experts-max: expected --updates async and --selection top_k, for other gates have no room");
  }
  if (rules.experts_max > 0) {
    spec.experts_max = rules.experts_max;
  } else if (grows) {
    spec.experts_max = kExpertsMaxByDefault * spec.experts;
  }
  spec.bf16 = options.precision == "bf16";
  spec.seed = options.seed;
  spec.updates = rules.updates == "sync" ? swarm::UpdateMode::synchronous : swarm::UpdateMode::asynchronous;
  spec.rows_per_step = rules.rows_per_step;
  spec.replicas = rules.replicas;
  spec.loss_window_s = rules.loss_window;
  spec.step.learning_rate = options.learning_rate;
  spec.step.beta1 = kBeta1;
  spec.step.beta2 = options.beta2;
  spec.step.weight_decay = options.weight_decay;
  spec.step.gradient_norm_max = options.gradient_norm_max;
  AGORA_RETURN_IF_ERROR(swarm::validate(spec));
  AGORA_RETURN_IF_ERROR(train::trunk_config(spec).status());
  return spec;
}

StatusOr<train::TrainOptions> options_of(const swarm::SwarmSpec& spec) {
  AGORA_ASSIGN_OR_RETURN(std::vector<std::string> flags,
                         recipe_flags(spec.recipe, "the recipe in the swarm's specification"));
  train::TrainOptions options;
  CLI::App reader;
  train::for_each_option(options, [&](const char* name, auto& field, const char*) {
    if (!stays_at_home(name)) reader.add_option(absl::StrCat("--", name), field);
  });
  std::ranges::reverse(flags);  // CLI11 takes them from the back
  try {                         // and reports by exception; it ends here
    reader.parse(std::move(flags));
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the recipe in the swarm's specification: expected this program's options: ", error.what(),
        "; is this program as new as the one that made it?"));
  }
  AGORA_RETURN_IF_ERROR(train::validate(options));
  return options;
}

StatusOr<train::SharedTokenizer> tokenizer_of(const swarm::SwarmSpec& spec) {
  if (spec.files.size() < 2) return train::SharedTokenizer();
  const MomentFolder folder;
  AGORA_ASSIGN_OR_RETURN(const std::string dir, folder.path());
  for (const auto& [name, content] : spec.files) {  // validate(spec): plain names, nothing outside the folder
    AGORA_RETURN_IF_ERROR(weights::write_file_atomic(absl::StrCat(dir, "/", name), content));
  }
  AGORA_ASSIGN_OR_RETURN(std::unique_ptr<model::Tokenizer> tokenizer, model::Tokenizer::load(dir));
  return train::SharedTokenizer(std::move(tokenizer));
}

Status write_spec(const swarm::SwarmSpec& spec, const std::string& file) {
  return weights::write_file_atomic(file, spec.bytes());
}

StatusOr<swarm::SwarmSpec> read_spec_file(const std::string& file) {
  const auto read = [&]() -> StatusOr<swarm::SwarmSpec> {
    AGORA_ASSIGN_OR_RETURN(const std::string bytes,
                           weights::read_file(file, static_cast<int64_t>(swarm::kSpecBytesMax)));
    return swarm::read_spec(base::as_bytes(bytes));
  };
  StatusOr<swarm::SwarmSpec> spec = read();
  if (spec.ok()) return spec;
  return base::about(absl::StrCat("--spec ", file), spec.status());
}

}  // namespace agora::cli
