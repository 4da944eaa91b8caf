#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "agora/model/config.h"
#include "agora/weights/weight_folder.h"
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "apps/cli/command.h"
#include "apps/cli/json_line.h"
#include "apps/cli/terminal_device.h"
#include "apps/cli/terminal_table.h"

namespace agora::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct InspectFlags {
  std::string path;
  bool all = false;
  bool json = false;
};

constexpr size_t kTensorsShown = 40;  // without --all

struct Contents {
  std::string config;  // as it stands in the file; empty: there is none
  std::string parameters;
  std::unique_ptr<weights::WeightFolder> folder;  // one of the two
  std::unique_ptr<weights::SafetensorsFile> file;
  std::vector<const weights::TensorRef*> tensors;
};

StatusOr<Contents> open(const std::string& path) {
  Contents contents;
  if (fs::is_directory(path)) {
    const std::string config_file = path + "/config.json";
    if (fs::exists(config_file)) {
      AGORA_ASSIGN_OR_RETURN(const model::ModelConfig config, model::read_config(config_file));
      contents.config = model::format_config(config);
      contents.parameters = absl::StrCat(with_thousands(config.parameters()), " parameters, ",
                                         with_thousands(config.parameters_active()), " active for a token");
    }
    AGORA_ASSIGN_OR_RETURN(contents.folder, weights::WeightFolder::open(path));
    contents.tensors = contents.folder->tensors();
    AGORA_RETURN_IF_ERROR(contents.folder->verify());
    return contents;
  }
  AGORA_ASSIGN_OR_RETURN(contents.file, weights::SafetensorsFile::open(path));
  for (const weights::TensorRef& tensor : contents.file->tensors()) contents.tensors.push_back(&tensor);
  AGORA_RETURN_IF_ERROR(contents.file->verify());
  return contents;
}

int64_t bytes_of(const std::vector<const weights::TensorRef*>& tensors) {
  int64_t bytes = 0;
  for (const weights::TensorRef* t : tensors) bytes += static_cast<int64_t>(t->bytes.size());
  return bytes;
}

void print_json(const Contents& contents) {
  Json tensors = Json::array();
  for (const weights::TensorRef* t : contents.tensors) {
    tensors.push_back({{"name", t->name},
                       {"dtype", std::string(tensor::name_of(t->dtype))},
                       {"shape", t->shape},
                       {"bytes", t->bytes.size()}});
  }
  const Json config = contents.config.empty() ? Json() : Json::parse(contents.config);
  std::cout << json_line(
                   Json{{"config", config}, {"bytes", bytes_of(contents.tensors)}, {"tensors", tensors}})
            << "\n";
}

void print_text(const Contents& contents, bool all) {
  if (!contents.config.empty()) std::cout << contents.config << contents.parameters << "\n\n";
  TerminalTable table({{"tensor"}, {"type"}, {"shape", Align::right}, {"bytes", Align::right}});
  const size_t shown = all ? contents.tensors.size() : std::min(contents.tensors.size(), kTensorsShown);
  for (size_t i = 0; i < shown; ++i) {
    const weights::TensorRef& t = *contents.tensors[i];
    table.add_row({t.name, std::string(tensor::name_of(t.dtype)), absl::StrJoin(t.shape, " x "),
                   with_thousands(static_cast<int64_t>(t.bytes.size()))});
  }
  std::cout << table.text(inspect_terminal(STDOUT_FILENO).columns);
  if (shown < contents.tensors.size()) {
    std::cout << "... and " << contents.tensors.size() - shown << " more (--all shows them)\n";
  }
  std::cout << contents.tensors.size() << " tensors, " << with_thousands(bytes_of(contents.tensors))
            << " bytes; content hashes, where the file has them, agree\n";
}

Status inspect(const InspectFlags& flags) {
  if (!fs::exists(flags.path)) {
    return absl::NotFoundError(
        absl::StrCat(flags.path, ": expected a model folder or a .safetensors file, found nothing"));
  }
  AGORA_ASSIGN_OR_RETURN(const Contents contents, open(flags.path));
  if (flags.json) {
    print_json(contents);
  } else {
    print_text(contents, flags.all);
  }
  return absl::OkStatus();
}

}  // namespace

void add_inspect_command(CLI::App& app, CommandResult& result) {
  auto flags = std::make_shared<InspectFlags>();
  CLI::App* command = app.add_subcommand("inspect", "Show what a model folder or a safetensors file holds");
  command->add_option("file", flags->path, "folder of a model, or a .safetensors file")->required();
  command->add_flag("--all", flags->all, "every tensor");
  command->add_flag("--json", flags->json, "one JSON object instead of text");
  command->callback([flags, &result] { result.exit_code = report(inspect(*flags)); });
}

}  // namespace agora::cli
